FROM alpine:3.20 AS a
RUN echo $((1 << 3))
FROM alpine:3.19
RUN cat <<< "here string" || true
