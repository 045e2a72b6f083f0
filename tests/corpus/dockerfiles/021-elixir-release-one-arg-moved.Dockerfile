ARG OTP_VERSION=27.0.1
ARG DEBIAN=bookworm-slim
ARG BUILDER="hexpm/elixir:1.17.2-erlang-${OTP_VERSION}-debian-${DEBIAN}"
ARG RUNNER="debian:${DEBIAN}"

FROM ${BUILDER} AS builder
RUN mix release

FROM ${RUNNER}
COPY --from=builder /rel /rel
