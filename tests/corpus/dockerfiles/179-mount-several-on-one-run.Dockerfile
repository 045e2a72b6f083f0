FROM ubuntu:24.04
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=bind,from=alpine/k8s:1.30.2,source=/usr/bin/helm,target=/usr/bin/helm \
    --mount=type=secret,id=npmrc \
    --mount=from=bitnami/kubectl:1.30,source=/opt/bitnami/kubectl/bin,target=/kubectl \
    helm version && /kubectl/kubectl version --client
