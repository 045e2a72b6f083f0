FROM node:20@sha256:4f5e4f5e
