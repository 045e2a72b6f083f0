FROM alpine:3.20
RUN echo run with --mount=type=bind,from=busybox:1.36,target=/x
