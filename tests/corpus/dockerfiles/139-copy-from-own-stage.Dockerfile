FROM alpine:3.20 AS build
COPY --from=build /x /y
