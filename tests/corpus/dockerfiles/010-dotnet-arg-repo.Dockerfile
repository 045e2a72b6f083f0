ARG REPO=mcr.microsoft.com/dotnet/runtime-deps
FROM $REPO:8.0.8-bookworm-slim-amd64

ENV DOTNET_VERSION=8.0.8 ASPNET_VERSION=8.0.8
RUN curl -fSL --output dotnet.tar.gz https://example.org/dotnet-$DOTNET_VERSION.tar.gz \
    && tar -oxzf dotnet.tar.gz -C /usr/share/dotnet
