# syntax=docker/dockerfile:1.4
ARG PYTHON_BASE_IMAGE="python:3.11-slim-bookworm"
ARG AIRFLOW_VERSION="2.9.3"

FROM scratch as scripts

COPY <<"EOF" /install_os_dependencies.sh
#!/usr/bin/env bash
# FROM here on everything is text
set -euo pipefail
FROM="debian"
EOF

COPY <<"EOF" /common.sh
COPY --from=nowhere /a /b
EOF

FROM ${PYTHON_BASE_IMAGE} as airflow-build-image
COPY --from=scripts install_os_dependencies.sh /scripts/docker/
RUN bash /scripts/docker/install_os_dependencies.sh dev

FROM ${PYTHON_BASE_IMAGE} as main
ARG AIRFLOW_VERSION
COPY --from=scripts common.sh /scripts/docker/
COPY --from=airflow-build-image --chown=1000:0 /home/airflow/.local /home/airflow/.local
