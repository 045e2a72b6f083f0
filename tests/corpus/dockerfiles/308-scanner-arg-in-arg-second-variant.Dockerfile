ARG VERSION=2
ARG BASE="contoso.azurecr.io/base/app:$VERSION"
FROM $BASE AS prod
