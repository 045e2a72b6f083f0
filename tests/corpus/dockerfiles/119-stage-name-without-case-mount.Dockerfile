FROM maven:3.9 AS Deps
RUN mvn dependency:go-offline
FROM eclipse-temurin:21
RUN --mount=type=bind,from=DEPS,source=/home/app/.m2,target=/m2 cp -r /m2 /repo
