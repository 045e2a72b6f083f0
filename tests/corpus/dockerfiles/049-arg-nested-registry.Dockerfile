ARG R=r.azurecr.io
ARG I=$R/base:1
FROM $I
COPY app /app
