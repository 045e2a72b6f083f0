FROM docker.io/grafana/grafana-oss:11.1.0
USER root
