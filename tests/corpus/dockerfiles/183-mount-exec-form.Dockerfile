FROM alpine:3.20
RUN --mount=from=mikefarah/yq:4.44.2,source=/usr/bin/yq,target=/usr/bin/yq ["/usr/bin/yq", "--version"]
