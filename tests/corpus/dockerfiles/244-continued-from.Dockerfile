FROM \
  alpine:3
RUN true
