FROM registry.internal.example:5000/platform/jdk:21
COPY target/app.jar /app.jar
