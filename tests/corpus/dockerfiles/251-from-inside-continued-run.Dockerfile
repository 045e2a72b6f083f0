FROM alpine:3.20
RUN echo '\
FROM evil:1 \
' > /etc/motd
