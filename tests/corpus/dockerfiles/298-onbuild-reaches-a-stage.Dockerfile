FROM maven:3.9 AS deps
RUN mvn dependency:go-offline
FROM eclipse-temurin:21 AS base
ONBUILD COPY --from=deps /home/app/.m2 /home/app/.m2
FROM base
CMD ["java"]
