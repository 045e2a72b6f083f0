FROM rust:1.79-alpine AS build
RUN apk add --no-cache musl-dev && cargo build --release
FROM scratch
COPY --from=build /target/release/tool /tool
