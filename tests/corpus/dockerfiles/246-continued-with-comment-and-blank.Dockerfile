FROM \

    # the LTS release
    ubuntu:24.04 \
    AS base
RUN true
