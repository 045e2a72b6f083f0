ARG REPO=mcr.microsoft.com/dotnet/aspnet
FROM $REPO:8.0-alpine3.20
ENV ASPNETCORE_HTTP_PORTS=8080
