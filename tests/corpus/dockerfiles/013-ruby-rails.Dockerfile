# syntax=docker/dockerfile:1
ARG RUBY_VERSION=3.3.4
FROM registry.docker.com/library/ruby:$RUBY_VERSION-slim AS base
WORKDIR /rails
ENV RAILS_ENV="production"

FROM base AS build
RUN apt-get update -qq && apt-get install --no-install-recommends -y build-essential git
COPY Gemfile Gemfile.lock ./
RUN bundle install

FROM base
COPY --from=build /usr/local/bundle /usr/local/bundle
CMD ["./bin/rails", "server"]
