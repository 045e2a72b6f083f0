ARG TAG=3.19
FROM alpine:${TAG} AS first
ARG TAG=edge
RUN echo $TAG
FROM alpine:${TAG}
COPY --from=first /etc/os-release /first
