FROM mcr.microsoft.com/windows/servercore:ltsc2022
RUN xcopy app C:\
FROM mcr.microsoft.com/windows/nanoserver:ltsc2022
