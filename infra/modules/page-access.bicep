metadata name = 'Access of the page'
metadata description = 'Lets the identity of the operators\' page read the tables and the policy file, ask by one queue, and send telemetry. It has no role on a registry, and none at ARM.'

@description('Required. Name of the storage account of the product.')
@minLength(3)
@maxLength(24)
param storageAccountName string

@description('Required. Name of the queue of what operators ask for.')
@minLength(3)
@maxLength(63)
param queueName string

@description('Required. Container of the policy file.')
@minLength(3)
@maxLength(63)
param policyContainerName string

@description('Required. Name of the Application Insights component.')
@minLength(1)
@maxLength(260)
param componentName string

@description('Required. Object id of the identity of the page.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Resource id of the same identity. It names the role assignments.')
param identityResourceId string

var roles = loadJsonContent('../built-in-roles.json')

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageAccountName

  resource queueService 'queueServices' existing = {
    name: 'default'

    resource queue 'queues' existing = {
      name: queueName
    }
  }

  resource blobService 'blobServices' existing = {
    name: 'default'

    resource container 'containers' existing = {
      name: policyContainerName
    }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource tables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, identityResourceId, roles.storageTableDataReader)
  scope: account
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageTableDataReader)
  }
}

resource acts 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::queueService::queue.id, identityResourceId, roles.storageQueueDataMessageSender)
  scope: account::queueService::queue
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageQueueDataMessageSender
    )
  }
}

resource policies 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobService::container.id, identityResourceId, roles.storageBlobDataReader)
  scope: account::blobService::container
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataReader)
  }
}

resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, identityResourceId, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}
