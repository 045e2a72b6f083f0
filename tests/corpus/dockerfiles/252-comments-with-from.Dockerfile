# FROM node:18
#FROM node:19
   # FROM node:20
FROM node:22
