FROM https://myregistry.azurecr.io/app:1
