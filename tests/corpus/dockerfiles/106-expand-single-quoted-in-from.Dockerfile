ARG REG=r.azurecr.io
FROM 'r.azurecr.io/base/app:1'
RUN true
