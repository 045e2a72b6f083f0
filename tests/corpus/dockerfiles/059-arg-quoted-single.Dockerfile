ARG TAG='3.11-slim'
FROM python:${TAG}
