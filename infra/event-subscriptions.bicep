targetScope = 'subscription'

metadata name = 'Event subscriptions of ACR Rebuilder'
metadata description = 'Deployed last: Event Grid wants the functions to be there. Its parameters are the output EVENT_SUBSCRIPTION_PARAMETERS of main.bicep.'

import { topicType } from 'modules/types.bicep'

@description('Required. Name of the function app.')
@minLength(2)
@maxLength(60)
param functionAppName string

@description('Required. Resource group of the function app.')
@minLength(1)
@maxLength(90)
param functionAppResourceGroupName string

@description('Required. Resource id of the storage account of the dead letters.')
param storageAccountResourceId string

@description('Required. Container of the dead letters.')
@minLength(3)
@maxLength(63)
param deadLetterContainerName string

@description('Optional. Queue of the storage account that events go into, with the identity of their topic. By default they go to the functions.')
@maxLength(63)
param eventQueueName string = ''

@description('Required. System topics of the base registries.')
@minLength(1)
@maxLength(200)
param pushTopics topicType[]

@description('Required. System topics of the resource groups of task registries.')
@maxLength(200)
param taskTopics topicType[]

@description('Optional. How often an event is delivered at most. One is too few: the first delivery after a pause may be refused.')
@minValue(2)
@maxValue(30)
param maxDeliveryAttempts int = 30

@description('Optional. Minutes for which an event is tried, before it becomes a dead letter.')
@minValue(1)
@maxValue(1440)
param eventTimeToLiveInMinutes int = 1440

module pushes 'modules/event-subscription.bicep' = [
  for topic in pushTopics: {
    scope: resourceGroup(topic.subscriptionId, topic.resourceGroupName)
    name: 'rebuilder-pushes-${uniqueString(functionAppName, topic.subscriptionId, topic.resourceGroupName, topic.name)}'
    params: {
      topicName: topic.name
      name: 'rebuilder-pushes-${uniqueString(functionAppName)}'
      functionResourceId: resourceId(
        subscription().subscriptionId,
        functionAppResourceGroupName,
        'Microsoft.Web/sites/functions',
        functionAppName,
        'image_pushed'
      )
      queueName: eventQueueName
      storageAccountResourceId: storageAccountResourceId
      deadLetterContainerName: deadLetterContainerName
      eventTypes: [
        'Microsoft.ContainerRegistry.ImagePushed'
      ]
      advancedFilters: []
      maxDeliveryAttempts: maxDeliveryAttempts
      eventTimeToLiveInMinutes: eventTimeToLiveInMinutes
    }
  }
]

module changes 'modules/event-subscription.bicep' = [
  for topic in taskTopics: {
    scope: resourceGroup(topic.subscriptionId, topic.resourceGroupName)
    name: 'rebuilder-tasks-${uniqueString(functionAppName, topic.subscriptionId, topic.resourceGroupName, topic.name)}'
    params: {
      topicName: topic.name
      name: 'rebuilder-tasks-${uniqueString(functionAppName)}'
      functionResourceId: resourceId(
        subscription().subscriptionId,
        functionAppResourceGroupName,
        'Microsoft.Web/sites/functions',
        functionAppName,
        'task_changed'
      )
      queueName: eventQueueName
      storageAccountResourceId: storageAccountResourceId
      deadLetterContainerName: deadLetterContainerName
      eventTypes: [
        'Microsoft.Resources.ResourceWriteSuccess'
        'Microsoft.Resources.ResourceDeleteSuccess'
      ]
      // Everything else that changes in the group stays away.
      advancedFilters: [
        {
          key: 'data.operationName'
          operatorType: 'StringBeginsWith'
          values: [
            'Microsoft.ContainerRegistry/registries/tasks/'
          ]
        }
      ]
      maxDeliveryAttempts: maxDeliveryAttempts
      eventTimeToLiveInMinutes: eventTimeToLiveInMinutes
    }
  }
]
