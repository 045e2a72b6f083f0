FROM alpine:3.20
COPY --from=hashicorp/terraform:1.9 /bin/terraform /bin/
COPY --from=hashicorp/terraform:1.9 /LICENSE.txt /licenses/
