ARG PLATFORM=linux/amd64
FROM --platform=${PLATFORM} mcr.microsoft.com/mssql/server:2022-latest
ENV ACCEPT_EULA=Y
