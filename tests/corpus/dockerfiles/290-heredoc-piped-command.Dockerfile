FROM python:3.12
RUN python3 - <<PY > /out.txt
print("FROM evil:1")
FROM = 1
PY
FROM python:3.12-slim
COPY --from=0 /out.txt /out.txt
