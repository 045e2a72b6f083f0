FROM alpine:3.20
RUN <<EOT
echo EOT
 EOT
FROM evil:1
EOT
RUN true
