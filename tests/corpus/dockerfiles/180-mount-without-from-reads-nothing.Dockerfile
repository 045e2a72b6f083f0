FROM node:20
RUN --mount=type=cache,target=/home/app/.npm --mount=type=tmpfs,target=/tmp --mount=type=ssh --mount=type=secret,id=token npm ci
RUN --mount=type=bind,target=/src ls /src
