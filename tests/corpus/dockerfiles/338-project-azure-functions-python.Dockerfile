# To enable ssh & remote debugging on app service change the base image to the one below
# FROM mcr.microsoft.com/azure-functions/python:4-python3.11-appservice
ARG FUNCTIONS_REGISTRY=mcr.microsoft.com/azure-functions
ARG PYTHON_VERSION=3.11

FROM ${FUNCTIONS_REGISTRY}/python:4-python${PYTHON_VERSION}-core-tools AS tools
RUN func --version

FROM ${FUNCTIONS_REGISTRY}/python:4-python${PYTHON_VERSION}

ENV AzureWebJobsScriptRoot=/home/site/wwwroot \
    AzureFunctionsJobHost__Logging__Console__IsEnabled=true

COPY requirements.txt /
RUN pip install -r /requirements.txt
COPY . /home/site/wwwroot
