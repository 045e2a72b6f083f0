FROM alpine:3.20 AS unused
RUN --mount=from=$TOOL,target=/t true
FROM alpine:3.20
