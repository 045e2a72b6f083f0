FROM maven:3.9 AS deps
RUN mvn dependency:go-offline
FROM eclipse-temurin:21 AS base
ONBUILD COPY --from=deps /root/.m2 /root/.m2
FROM base
CMD ["java"]
