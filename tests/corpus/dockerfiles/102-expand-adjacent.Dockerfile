ARG REG=quay.io
ARG NS=prometheus
ARG N=node-exporter
ARG V=v1.8.2
FROM $REG/$NS/$N:$V
RUN true
