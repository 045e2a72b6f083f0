# escape=`
FROM mcr.microsoft.com/dotnet/framework/sdk:4.8-windowsservercore-ltsc2022 AS build
SHELL ["powershell", "-Command"]
RUN Invoke-WebRequest https://example.org/t.zip -OutFile t.zip; `
    Expand-Archive t.zip -DestinationPath C:\tools\; `
    # clean up
    Remove-Item t.zip
WORKDIR C:\src\
FROM mcr.microsoft.com/dotnet/framework/aspnet:4.8-windowsservercore-ltsc2022
COPY --from=build C:\src\out\ C:\inetpub\wwwroot\
