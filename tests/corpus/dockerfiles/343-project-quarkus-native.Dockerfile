ARG BUILDER=quay.io/quarkus/ubi-quarkus-mandrel-builder-image:jdk-21
FROM ${BUILDER} AS build
USER root
RUN microdnf install findutils
COPY --chown=quarkus:quarkus mvnw /code/mvnw
RUN ./mvnw package -Dnative

FROM quay.io/quarkus/quarkus-distroless-image:2.0
COPY --from=build /code/target/*-runner /application
CMD ["./application", "-Dquarkus.http.host=0.0.0.0"]
