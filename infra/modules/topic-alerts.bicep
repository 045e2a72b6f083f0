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

var metrics = [
  {
    name: 'DeadLetteredCount'
    description: 'Event Grid gave events up. `rebuilder dead-letters` lists them with the reason once they are collected.'
    threshold: 0
    severity: 1
  }
  {
    name: 'DroppedEventCount'
    description: 'Event Grid dropped events that it could not write into the dead letters. `rebuilder doctor` names the missing role; the sweep finds what they told.'
    threshold: 0
    severity: 1
  }
  {
    // Some fail whenever the app wakes up, and come again.
    name: 'DeliveryAttemptFailCount'
    description: 'Deliveries of Event Grid fail. `rebuilder doctor` names what refuses them.'
    threshold: 20
    severity: 2
  }
]

resource alerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for metric in metrics: {
    name: '${namePrefix}${last(split(topicResourceId, '/'))}-${uniqueString(topicResourceId)}-${metric.name}'
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
            metricName: metric.name
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            name: metric.name
            operator: 'GreaterThan'
            threshold: metric.threshold
            timeAggregation: 'Total'
          }
        ]
      }
      description: metric.description
      enabled: true
      evaluationFrequency: 'PT15M'
      scopes: [
        topicResourceId
      ]
      severity: metric.severity
      windowSize: 'PT1H'
    }
  }
]
