ARG TAG=8.0-preview
FROM mcr.microsoft.com/dotnet/sdk:${TAG%-preview}
RUN true
