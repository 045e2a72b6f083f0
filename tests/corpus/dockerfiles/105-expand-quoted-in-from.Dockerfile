ARG REG=r.azurecr.io
FROM "${REG}/base/app:1"
RUN true
