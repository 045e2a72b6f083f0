ARG REGISTRY=mcr.microsoft.com
FROM ${REGISTRY}/azuredocs/aci-helloworld
