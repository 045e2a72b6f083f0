ARG BASE
FROM ${BASE:-mcr.microsoft.com/cbl-mariner/base/core:2.0}
RUN true
