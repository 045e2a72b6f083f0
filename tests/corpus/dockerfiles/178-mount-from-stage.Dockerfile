FROM maven:3.9 AS deps
RUN mvn dependency:go-offline
FROM deps AS unused
RUN true
FROM eclipse-temurin:21
RUN --mount=type=bind,from=deps,source=/root/.m2,target=/root/.m2 ls /root/.m2
