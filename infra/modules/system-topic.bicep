metadata name = 'System topic'
metadata description = 'The events of one source: a topic that was not there, or the one that was. Azure allows one for each source.'

@description('Required. Name of the topic.')
@minLength(3)
@maxLength(50)
param name string

@description('Required. Whether it is there already.')
param isExisting bool

@description('Required. Region: that of the source; global for resource groups and subscriptions.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Resource id of the source.')
param sourceResourceId string

@description('Required. Kind of the source.')
@allowed(['Microsoft.ContainerRegistry.Registries', 'Microsoft.Resources.ResourceGroups'])
param topicType string

@description('Required. Resource id of the action group that hears of dead letters; empty for no alerts.')
param actionGroupResourceId string

@description('Required. Whether there are alerts.')
param alerts bool

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (!isExisting) {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: sourceResourceId
    topicType: topicType
  }
}

resource found 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (isExisting) {
  name: name
}

resource alert 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for metric in (alerts ? ['DeadLetteredCount', 'DroppedEventCount'] : []): {
    name: '${name}-${metric}'
    location: 'global'
    tags: tags
    properties: {
      actions: empty(actionGroupResourceId) ? [] : [{ actionGroupId: actionGroupResourceId }]
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            metricName: metric
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            name: metric
            operator: 'GreaterThan'
            threshold: 0
            timeAggregation: 'Total'
          }
        ]
      }
      description: 'Event Grid gave events up: docs/operations.md, "When something fails".'
      enabled: true
      evaluationFrequency: 'PT15M'
      scopes: [
        isExisting ? found.id : topic.id
      ]
      severity: 1
      windowSize: 'PT1H'
    }
  }
]

@description('Name of the topic.')
output name string = name

@description('Object id of the identity of the topic.')
output principalId string = isExisting ? found!.identity.principalId : topic!.identity.principalId
