FROM alpine:3.20 AS build
ARG RUNTIME=debian
RUN make

FROM ${RUNTIME}
COPY --from=build /out /out
