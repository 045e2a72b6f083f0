FROM alpine:3.20 AS a
RUN echo "<<EOF"
FROM alpine:3.19
RUN echo 'x <<EOF'
