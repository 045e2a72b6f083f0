FROM alpine:3.20 AS Base
RUN apk add --no-cache tini
FROM base
CMD ["/sbin/tini"]
