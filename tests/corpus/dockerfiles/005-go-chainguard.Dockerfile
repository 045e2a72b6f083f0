FROM cgr.dev/chainguard/go:latest-dev AS builder
WORKDIR /work
COPY . .
RUN go build -o app .

FROM cgr.dev/chainguard/static
COPY --from=builder /work/app /usr/bin/app
CMD ["/usr/bin/app"]
