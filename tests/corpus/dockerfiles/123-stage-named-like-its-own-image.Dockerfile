FROM golang AS golang
RUN go build -o /app .
FROM alpine AS alpine
COPY --from=golang /app /app
