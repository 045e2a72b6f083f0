FROM alpine:3.20
CMD <<EOF
RUN echo this is an instruction
EOF
