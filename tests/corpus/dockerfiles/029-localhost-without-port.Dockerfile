FROM localhost/base:dev
RUN true
