ARG ALPINE=3.20
FROM alpine:${ALPINE} AS one
RUN touch /one
FROM alpine:${ALPINE} AS two
RUN touch /two
FROM alpine:${ALPINE}
COPY --from=one /one /
COPY --from=two /two /
