# escape=`
ARG BASE=contoso.azurecr.io/windows/base:1
FROM `
    ${BASE} `
    AS run
RUN dir
