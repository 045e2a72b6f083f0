FROM alpine:3.20 AS unused
COPY --from=Not/Valid:: /x /x
FROM alpine:3.20
