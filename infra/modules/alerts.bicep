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

@description('Required. Resource id of the Application Insights component of the app: others may use the same workspace.')
param componentResourceId string

@description('Required. Resource id of the action group that is told; empty for none.')
param actionGroupResourceId string

@description('Required. Minutes after which a task that is known to be stale, and was not rebuilt, is an alert.')
@minValue(15)
@maxValue(1440)
param staleMinutes int

@description('Required. Minutes without a sweep after which it is an alert: at least two of their intervals.')
@minValue(30)
@maxValue(1440)
param silenceMinutes int

var actions = empty(actionGroupResourceId) ? {} : { actions: { actionGroups: [actionGroupResourceId] } }

// Metrics and their attributes are those of rebuilder/telemetry; tests/infra holds them together.
var ours = 'where _ResourceId =~ "${componentResourceId}"'
var metric = 'AppMetrics | ${ours} | where Name =='
var queue = 'Queue = tostring(Properties["messaging.destination.name"])'
var registry = 'Registry = tostring(Properties["rebuilder.registry"])'
var state = 'tostring(Properties["rebuilder.state"]) =='
// Of a gauge one value comes at a time, and Sum is it.
var latest = 'summarize arg_max(TimeGenerated, Sum) by'
var rules = [
  {
    name: 'failed-executions'
    description: 'A function failed for what nobody foresaw. `rebuilder dead-letters` lists what was given up; the log has the trace: docs/operations.md.'
    query: 'AppRequests | ${ours} | where Success == false'
    severity: 2
  }
  {
    name: 'failed-rebuilds'
    description: 'A run failed; another attempt may follow by itself. `rebuilder explain IMAGE` tells why.'
    query: '${metric} "rebuilder.rebuilds" | where ${state} "failed"'
    severity: 3
  }
  {
    name: 'given-up-rebuilds'
    description: 'A rebuild failed as often as it may, or for what cannot heal by itself. `rebuilder explain IMAGE` tells why; after the repair: `rebuilder retry TASK`.'
    query: '${metric} "rebuilder.rebuilds" | where ${state} "given up"'
    severity: 2
  }
  {
    name: 'still-stale'
    description: 'A run succeeded, and its image stands on another base. `rebuilder explain IMAGE` names the likely cause.'
    query: '${metric} "rebuilder.rebuilds" | where tostring(Properties["rebuilder.check"]) == "stale"'
    severity: 2
  }
  {
    name: 'oldest-staleness'
    description: 'A task stands on an old base for longer than it should, and nobody holds it. `rebuilder stale` lists which and why.'
    query: '${metric} "rebuilder.stale.hours" | ${latest} ${registry} | where Sum * 60 > ${staleMinutes}'
    severity: 2
  }
  {
    name: 'stale-beyond-objective'
    description: 'Tasks stand on old bases for longer than the objective. `rebuilder stale` lists which and why.'
    query: '${metric} "rebuilder.stale.late" | ${latest} ${registry} | where Sum > 0'
    severity: 2
  }
  {
    name: 'runs-without-agent'
    description: 'A run waits, and no agent takes it: look at the agent pool, or at Azure\'s status. `rebuilder runs` lists it.'
    query: '${metric} "rebuilder.runs.without_agent"'
    severity: 2
  }
  {
    name: 'unreadable-tasks'
    description: 'A task or a registry cannot be read: what of it is stale is not known. `rebuilder doctor` names the missing role.'
    query: '${metric} "rebuilder.unreadable"'
    severity: 2
  }
  {
    name: 'dead-letters'
    description: 'A message or an event was given up. `rebuilder dead-letters` lists it with its reason, `rebuilder replay ID` sends it again.'
    query: '${metric} "rebuilder.dead_letters"'
    severity: 1
  }
  {
    name: 'poison-messages'
    description: 'Messages lie in a poison queue, and are not collected. `rebuilder dead-letters` and the log of collect_dead_letters tell why.'
    query: '${metric} "rebuilder.queue.messages" | extend ${queue} | where Queue endswith "-poison" | ${latest} Queue | where Sum > 0'
    severity: 1
  }
  {
    name: 'old-messages'
    description: 'A message waits for an hour: its function does not run, or does not keep up. `rebuilder doctor` examines the app.'
    query: '${metric} "rebuilder.queue.oldest" | ${latest} ${queue} | where Sum > 3600'
    severity: 2
  }
  {
    name: 'token-expiry'
    description: 'A token for a source host is good for less than two weeks. `rebuilder doctor` names the host; put a new one into REBUILDER_SOURCE_CREDENTIALS.'
    query: '${metric} "rebuilder.token.left" | ${latest} Host = tostring(Properties["server.address"]) | where Sum < 1209600'
    severity: 2
  }
  {
    name: 'silence'
    description: 'No sweep has ended for ${silenceMinutes} minutes: the app does not run, or its telemetry does not come, as when the daily cap is reached. `rebuilder doctor` examines the app.'
    // Nothing is said before there was anything to be heard.
    query: '${metric} "rebuilder.sweep.problems" | summarize Last = max(TimeGenerated) | where Last < ago(${silenceMinutes}m)'
    severity: 1
  }
  {
    name: 'daily-cap'
    description: 'The workspace takes no more telemetry today, and alerts of it end with it: logDailyQuotaGb. `az monitor log-analytics workspace show --ids WORKSPACE_ID --query workspaceCapping` shows the cap.'
    query: '_LogOperation | where Category =~ "Ingestion" | where Operation =~ "Data collection stopped" or Detail has "OverQuota"'
    severity: 1
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
        scopes: [
          workspaceResourceId
        ]
        severity: rule.severity
        // The tables are there only when telemetry has come.
        skipQueryValidation: true
        windowSize: rule.name == 'silence' ? 'P1D' : rule.name == 'daily-cap' ? 'PT6H' : 'PT1H'
      },
      actions,
      // It would be taken for mended after a day of it.
      rule.name == 'silence' ? { overrideQueryTimeRange: 'P2D' } : {}
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
