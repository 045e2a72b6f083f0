FROM golang:1.21 AS build
RUN go build -o /old .
FROM golang:1.22 AS build
RUN go build -o /new .
FROM scratch
COPY --from=build /new /app
