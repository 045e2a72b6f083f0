FROM mcr.microsoft.com/windows/servercore:ltsc2022 AS full
RUN dir C:\\
FROM mcr.microsoft.com/windows/nanoserver:ltsc2022
