metadata name = 'Access to the queue of events'
metadata description = 'Lets the identity of a system topic put events into one queue, and do nothing else there.'

@description('Required. Name of the storage account.')
@minLength(3)
@maxLength(24)
param storageAccountName string

@description('Required. Name of the queue.')
@minLength(3)
@maxLength(63)
param queueName string

@description('Required. Object id of the identity of the topic.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Text that stands for the topic alone. It names the role assignment.')
param topicKey string

var roles = loadJsonContent('../built-in-roles.json')

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageAccountName

  resource queueService 'queueServices' existing = {
    name: 'default'

    resource queue 'queues' existing = {
      name: queueName
    }
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::queueService::queue.id, topicKey, roles.storageQueueDataMessageSender)
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
