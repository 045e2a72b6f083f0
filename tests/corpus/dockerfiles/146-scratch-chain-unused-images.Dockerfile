FROM alpine:3.20 AS unused
FROM scratch
COPY hello /
CMD ["/hello"]
