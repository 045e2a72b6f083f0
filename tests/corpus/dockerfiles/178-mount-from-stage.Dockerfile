FROM maven:3.9 AS deps
RUN mvn dependency:go-offline
FROM deps AS unused
RUN true
FROM eclipse-temurin:21
RUN --mount=type=bind,from=deps,source=/home/app/.m2,target=/home/app/.m2 ls /home/app/.m2
