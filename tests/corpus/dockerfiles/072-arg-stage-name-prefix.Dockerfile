ARG build_env=runtime
FROM debian:12-slim AS build
RUN make
FROM scratch AS build_runtime
COPY --from=build /out /app
FROM build_runtime AS build_debug
COPY --from=busybox:1.36 /bin/sh /bin/sh
FROM build_${build_env}
CMD ["/app/server"]
