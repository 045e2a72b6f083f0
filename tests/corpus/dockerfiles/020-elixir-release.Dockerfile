ARG ELIXIR_VERSION=1.17.2
ARG OTP_VERSION=27.0.1
ARG DEBIAN_VERSION=bookworm-20240722-slim
ARG BUILDER_IMAGE="hexpm/elixir:${ELIXIR_VERSION}-erlang-${OTP_VERSION}-debian-${DEBIAN_VERSION}"
ARG RUNNER_IMAGE="debian:${DEBIAN_VERSION}"

FROM ${BUILDER_IMAGE} as builder
RUN mix local.hex --force && mix local.rebar --force
COPY . .
RUN mix release

FROM ${RUNNER_IMAGE}
COPY --from=builder /app/_build/prod/rel/app ./
CMD ["/app/bin/server"]
