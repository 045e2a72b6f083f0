FROM ContosoBase.AzureCR.io/baseimages/node:9-alpine
CMD ["node"]
