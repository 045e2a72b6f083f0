# escape=`
ARG REPO=mcr.microsoft.com/windows
ARG TAG=ltsc2022
FROM ${REPO}/servercore:`
${TAG}
RUN dir
