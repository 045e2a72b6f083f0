FROM python:3.12 AS test
RUN pytest
FROM python:3.12-slim AS prod
CMD ["python", "-m", "app"]
