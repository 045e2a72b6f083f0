FROM mcr.microsoft.com/azure-\
cli:2.62.0
RUN az version
