import { lockType } from 'types.bicep'

metadata name = 'Monitoring'
metadata description = 'Log Analytics and Application Insights, which take Entra tokens only.'

@description('Required. Name of the Log Analytics workspace that is made.')
@minLength(4)
@maxLength(63)
param workspaceName string

@description('Required. Resource id of a workspace that is there; empty for one that is made.')
param existingWorkspaceResourceId string

@description('Required. Name of the Application Insights component.')
@minLength(1)
@maxLength(260)
param componentName string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. The lock.')
param lock lockType

@description('Required. Object id of the identity of the function app.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Resource id of the same identity.')
param identityResourceId string

@description('Required. Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param retentionInDays int

@description('Required. Gigabytes of logs a day, after which no more are taken; -1 for no limit.')
@minValue(-1)
@maxValue(1000)
param dailyQuotaGb int

var roles = loadJsonContent('../built-in-roles.json')

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = if (empty(existingWorkspaceResourceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    features: {
      disableLocalAuth: true
    }
    retentionInDays: retentionInDays
    sku: {
      name: 'PerGB2018'
    }
    workspaceCapping: {
      dailyQuotaGb: dailyQuotaGb
    }
  }
}

var workspaceResourceId = empty(existingWorkspaceResourceId) ? workspace.id : existingWorkspaceResourceId

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    WorkspaceResourceId: workspaceResourceId
  }
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, identityResourceId, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
  }
}

resource workspaceLock 'Microsoft.Authorization/locks@2020-05-01' = if (empty(existingWorkspaceResourceId) && (lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${workspaceName}'
  scope: workspace
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

resource componentLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${componentName}'
  scope: component
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

@description('Name of the component.')
output name string = component.name

@description('Resource id of the component.')
output resourceId string = component.id

@description('Resource id of the workspace.')
output workspaceResourceId string = workspaceResourceId

@description('Where telemetry goes. It holds no key that opens anything: local authentication is off.')
output connectionString string = component.properties.ConnectionString
