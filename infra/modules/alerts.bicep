metadata name = 'Alerts and workbook'
metadata description = 'What tells that rebuilds fail, give up or stay away.'

@description('Required. Prefix of the names of the alerts.')
param namePrefix string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Resource id of the Log Analytics workspace.')
param workspaceResourceId string

@description('Required. Resource id of the action group that is told; empty for none.')
param actionGroupResourceId string

@description('Required. Minutes after which a task that is known to be stale, and was not rebuilt, is an alert.')
@minValue(15)
@maxValue(1440)
param staleMinutes int

var actions = empty(actionGroupResourceId) ? {} : { actions: { actionGroups: [actionGroupResourceId] } }

// The sentences are those of rebuilder/usecases; tests/infra holds them together.
var rules = [
  {
    name: 'failed-executions'
    description: 'A function failed. After five failures its message is in a poison queue: docs/operations.md.'
    query: 'AppRequests | where Success == false'
    severity: 2
  }
  {
    name: 'failed-rebuilds'
    description: 'A rebuild was not scheduled, or a registry could not be planned: rebuilder explain tells why.'
    query: 'AppTraces | where Message has "was not scheduled" or Message has "cannot be planned"'
    severity: 2
  }
  {
    name: 'given-up-rebuilds'
    description: 'A rebuild failed as often as it may, or for what cannot heal by itself: rebuilder explain tells why.'
    query: 'AppTraces | where SeverityLevel >= 3 | where Message has "is given up"'
    severity: 2
  }
  {
    name: 'still-stale'
    description: 'A run succeeded, and its image stands on another base: rebuilder explain names the likely cause.'
    query: 'AppTraces | where SeverityLevel >= 3 | where Message has "pushed what stands on"'
    severity: 2
  }
  {
    name: 'runs-without-agent'
    description: 'A run waits, and no agent takes it: look at the agent pool, or at Azure\'s status.'
    query: 'AppTraces | where Message has "no agent has taken run"'
    severity: 2
  }
  {
    name: 'unreadable-tasks'
    description: 'A task or a registry cannot be read: what of it is stale is not known.'
    query: 'AppTraces | where SeverityLevel >= 3 | where Message has "cannot be read"'
    severity: 2
  }
  {
    name: 'silence'
    description: 'No sweep has ended for an hour: the app does not run, or its logs do not come, as when the daily cap is reached.'
    // Nothing is said before there was anything to be heard.
    query: 'AppRequests | summarize First = min(TimeGenerated), Last = maxif(TimeGenerated, OperationName == "sweep" and Success) | where First < ago(1h) and (isnull(Last) or Last < ago(1h))'
    severity: 1
  }
  {
    name: 'poison-messages'
    description: 'A message failed five times and was put aside: docs/operations.md.'
    // The host's own sentence; the name of a poison queue stands in addresses, too.
    query: 'AppTraces | where Message startswith "Message has reached MaxDequeueCount of"'
    severity: 1
  }
  {
    name: 'dead-letters'
    description: 'An event could not be delivered and was collected from the dead letters, or these cannot be read.'
    query: 'AppTraces | where SeverityLevel >= 3 | where Message has "dead letter" or Message has "dead letters of"'
    severity: 1
  }
  {
    name: 'oldest-staleness'
    description: 'A task is stale and still waits for its rebuild.'
    query: 'AppTraces | where Message has "waiting for:" | extend Task = extract(@"task ([^:]+): back in", 1, Message) | where isnotempty(Task) | summarize First = min(TimeGenerated), Last = max(TimeGenerated) by Task | where Last > ago(20m) and First < ago(${staleMinutes}m)'
    severity: 2
  }
]

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: '${namePrefix}${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: union(
      {
        autoMitigate: true
        criteria: {
          allOf: [
            {
              failingPeriods: {
                minFailingPeriodsToAlert: 1
                numberOfEvaluationPeriods: 1
              }
              operator: 'GreaterThan'
              query: rule.query
              threshold: 0
              timeAggregation: 'Count'
            }
          ]
        }
        description: rule.description
        displayName: '${namePrefix}${rule.name}'
        enabled: true
        evaluationFrequency: 'PT15M'
        overrideQueryTimeRange: 'P2D'
        scopes: [
          workspaceResourceId
        ]
        severity: rule.severity
        // The tables are there only when telemetry has come.
        skipQueryValidation: true
        windowSize: contains(['oldest-staleness', 'silence'], rule.name) ? 'P1D' : 'PT1H'
      },
      actions
    )
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, namePrefix, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: 'ACR Rebuilder'
    serializedData: loadTextContent('../workbook.json')
    sourceId: workspaceResourceId
    version: '1.0'
  }
}

@description('Resource id of the workbook.')
output workbookResourceId string = workbook.id
