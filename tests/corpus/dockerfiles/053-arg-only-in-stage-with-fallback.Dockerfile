FROM alpine:3.20 AS build
ARG RUNTIME=bookworm
RUN make

FROM debian:${RUNTIME:-bullseye}
COPY --from=build /out /out
