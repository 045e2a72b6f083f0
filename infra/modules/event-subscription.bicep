metadata name = 'Event subscription'
metadata description = 'Brings the events of one system topic to one function, or into one queue with the identity of the topic.'

@description('Required. Name of the system topic.')
@minLength(3)
@maxLength(50)
param topicName string

@description('Required. Name of the subscription.')
@minLength(3)
@maxLength(64)
param name string

@description('Required. Resource id of the function.')
param functionResourceId string

@description('Required. Queue, in the storage account of the dead letters, that events go into instead; empty for the function.')
@maxLength(63)
param queueName string

@description('Required. Resource id of the storage account of the dead letters.')
param storageAccountResourceId string

@description('Required. Container of the dead letters.')
@minLength(3)
@maxLength(63)
param deadLetterContainerName string

@description('Required. Types of the events.')
@minLength(1)
@maxLength(8)
param eventTypes string[]

@description('Required. Advanced filters; none for every event of the types.')
@maxLength(5)
param advancedFilters object[]

@description('Required. How often an event is delivered at most.')
@minValue(2)
@maxValue(30)
param maxDeliveryAttempts int

@description('Required. Minutes for which an event is tried.')
@minValue(1)
@maxValue(1440)
param eventTimeToLiveInMinutes int

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

var toFunction = {
  destination: {
    endpointType: 'AzureFunction'
    properties: {
      maxEventsPerBatch: 1
      preferredBatchSizeInKilobytes: 64
      resourceId: functionResourceId
    }
  }
}
var toQueue = {
  deliveryWithResourceIdentity: {
    identity: {
      type: 'SystemAssigned'
    }
    destination: {
      endpointType: 'StorageQueue'
      properties: {
        resourceId: storageAccountResourceId
        queueName: queueName
        // Never: what is taken over is not dropped.
        queueMessageTimeToLiveInSeconds: -1
      }
    }
  }
}

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: name
  properties: union(
    {
      eventDeliverySchema: 'CloudEventSchemaV1_0'
      filter: {
        advancedFilters: advancedFilters
        enableAdvancedFilteringOnArrays: false
        includedEventTypes: eventTypes
      }
      retryPolicy: {
        eventTimeToLiveInMinutes: eventTimeToLiveInMinutes
        maxDeliveryAttempts: maxDeliveryAttempts
      }
      deadLetterWithResourceIdentity: {
        identity: {
          type: 'SystemAssigned'
        }
        deadLetterDestination: {
          endpointType: 'StorageBlob'
          properties: {
            blobContainerName: deadLetterContainerName
            resourceId: storageAccountResourceId
          }
        }
      }
    },
    empty(queueName) ? toFunction : toQueue
  )
}

@description('Name of the subscription.')
output name string = subscription.name

@description('Resource id of the subscription.')
output resourceId string = subscription.id
