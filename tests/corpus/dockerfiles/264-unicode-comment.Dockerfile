# Основной образ — не менять
FROM python:3.12-slim
ENV GREETING="Grüße 👋"
