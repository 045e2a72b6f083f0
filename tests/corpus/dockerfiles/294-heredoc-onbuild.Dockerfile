FROM alpine:3.20
ONBUILD RUN <<EOF
FROM evil:1
EOF
COPY --from=busybox:1.36 /bin/busybox /bb
