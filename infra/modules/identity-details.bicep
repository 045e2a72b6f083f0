metadata name = 'Details of an identity'
metadata description = 'Who a user-assigned identity that is there is.'

@description('Required. Name of the identity.')
@minLength(3)
@maxLength(128)
param name string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: name
}

@description('Object id of the identity.')
output principalId string = identity.properties.principalId

@description('Client id of the identity.')
output clientId string = identity.properties.clientId
