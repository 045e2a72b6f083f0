FROM \
    --platform=$BUILDPLATFORM \
    golang:1.22 \
    AS build
RUN go build
FROM scratch
COPY --from=build /a /a
