FROM alpine:3.20
COPY --from=alpine/git:2.45.2 ["/usr/bin/git", "/usr/bin/git with space"]
