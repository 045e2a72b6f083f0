# escape=`
ARG TAG=ltsc2022
FROM mcr.microsoft.com/windows/servercore:${TAG}
