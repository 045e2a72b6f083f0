FROM cgr.dev/chainguard/go:latest-dev AS builder
WORKDIR /build
COPY . .
RUN go build -o app .

FROM cgr.dev/chainguard/static
COPY --from=builder /build/app /usr/bin/app
CMD ["/usr/bin/app"]
