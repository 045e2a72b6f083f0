import { lockType } from 'types.bicep'

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

@description('Required. The lock.')
param lock lockType

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

resource resourceLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: identity
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

@description('Name of the identity.')
output name string = identity.name

@description('Resource id of the identity.')
output resourceId string = identity.id
