metadata name = 'Alerts of a system topic'
metadata description = 'Tell that Event Grid gave events up. They are beside the product, where the topic is of its subscription: metric alerts cannot leave that of what they watch.'

@description('Required. What the names of the alerts begin with.')
param namePrefix string

@description('Required. Tags.')
param tags object

@description('Required. Resource id of the topic.')
param topicResourceId string

@description('Required. Resource id of the action group that is told; empty for none.')
param actionGroupResourceId string

resource alerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for metric in ['DeadLetteredCount', 'DroppedEventCount']: {
    name: '${namePrefix}${last(split(topicResourceId, '/'))}-${uniqueString(topicResourceId)}-${metric}'
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
        topicResourceId
      ]
      severity: 1
      windowSize: 'PT1H'
    }
  }
]
