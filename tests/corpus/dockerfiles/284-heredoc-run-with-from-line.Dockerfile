FROM alpine:3.20
RUN <<EOF
cat > /Dockerfile <<X
FROM evil:1
X
EOF
