metadata name = 'Identity'
metadata description = 'Who the function app is.'

@description('Required. Name of the identity.')
@minLength(3)
@maxLength(128)
param name string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Name of the identity.')
output name string = identity.name

@description('Resource id of the identity.')
output resourceId string = identity.id

@description('Object id of the identity.')
output principalId string = identity.properties.principalId

@description('Client id of the identity.')
output clientId string = identity.properties.clientId
