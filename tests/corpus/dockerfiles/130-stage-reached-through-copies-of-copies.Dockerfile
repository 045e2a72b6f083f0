FROM tonistiigi/binfmt:latest AS zero
FROM alpine:3.18 AS one
COPY --from=zero / /z
FROM alpine:3.19 AS two
COPY --from=one /z /z
FROM alpine:3.20
COPY --from=two /z /z
