FROM alpine:3.20
RUN <<-SCRIPT
	set -e
	FROM evil:1
	SCRIPT
FROM alpine:3.19
RUN true
