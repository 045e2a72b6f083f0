metadata name = 'Access to dead letters'
metadata description = 'Lets the identity of a system topic write into the container of dead letters, and nowhere else.'

@description('Required. Name of the storage account.')
@minLength(3)
@maxLength(24)
param storageAccountName string

@description('Required. Name of the container.')
@minLength(3)
@maxLength(63)
param containerName string

@description('Required. Object id of the identity of the topic.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Text that stands for the topic alone. It names the role assignment.')
param topicKey string

var roles = loadJsonContent('../built-in-roles.json')

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageAccountName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource container 'containers' existing = {
      name: containerName
    }
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::container.id, topicKey, roles.storageBlobDataContributor)
  scope: account::blobs::container
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
  }
}
