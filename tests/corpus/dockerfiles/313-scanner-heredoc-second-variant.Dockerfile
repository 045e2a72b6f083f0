FROM alpine:3.20
COPY <<EOF /etc/app/Dockerfile.template
FROM evil:1
RUN true
EOF
CMD ["/bin/sh"]
