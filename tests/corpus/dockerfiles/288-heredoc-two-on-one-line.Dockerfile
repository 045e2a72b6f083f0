FROM nginx:1.27
COPY <<default.conf <<index.html /srv/
FROM one:1
default.conf
FROM two:2
index.html
COPY --from=busybox:1.36 /bin/busybox /bb
