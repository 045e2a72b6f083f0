ARG IMAGE="python:3.11-slim"
FROM ${IMAGE}
