FROM mcr.microsoft.com/windows/nanoserver:ltsc2022 AS base-windows
FROM mcr.microsoft.com/cbl-mariner/distroless/minimal:2.0 AS base-linux
FROM base-${TARGETOS}
COPY app /app
