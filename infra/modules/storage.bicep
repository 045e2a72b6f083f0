import { diagnosticSettingType, diagnosticsOf, lockType } from 'types.bicep'

metadata name = 'Storage'
metadata description = 'What an app keeps. It has no keys: shared keys are off.'

@description('Required. Name of the account.')
@minLength(3)
@maxLength(24)
param name string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Object id of the identity of the function app.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Resource id of the same identity. It is known before the identity is made and names the role assignments.')
param identityResourceId string

@description('Required. Redundancy.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param skuName string

@description('Required. Whether only private endpoints and trusted services of Azure reach the account.')
param closed bool

@description('Required. The lock.')
param lock lockType

@description('Required. Where logs and metrics go.')
@maxLength(5)
param diagnosticSettings diagnosticSettingType[]

@description('Required. Days for which deleted blobs can be brought back.')
@minValue(1)
@maxValue(365)
param softDeleteDays int

@description('Required. Ids of the built-in roles that the identity has on the account.')
@minLength(1)
@maxLength(8)
param roleIds string[]

@description('Required. Containers of blobs.')
@minLength(1)
@maxLength(8)
param containerNames string[]

@description('Required. Queues. Each gets a poison queue, too.')
@maxLength(16)
param queueNames string[]

@description('Required. Tables.')
@maxLength(32)
param tableNames string[]

resource account 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: skuName
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
    networkAcls: {
      // Event Grid is such a service: it writes dead letters.
      bypass: 'AzureServices'
      defaultAction: closed ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = [
  for container in containerNames: {
    parent: blobs
    name: container
    properties: {
      publicAccess: 'None'
    }
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-08-01' = {
  parent: account
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-08-01' = [
  for queue in queueNames: {
    parent: queueService
    name: queue
  }
]

resource poisonQueues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-08-01' = [
  for queue in queueNames: {
    parent: queueService
    name: '${queue}-poison'
  }
]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-08-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-08-01' = [
  for table in tableNames: {
    parent: tableService
    name: table
  }
]

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roleIds: {
    name: guid(account.id, identityResourceId, role)
    scope: account
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource accountLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource blobDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in diagnosticSettings: {
    name: setting.?name ?? 'rebuilder'
    scope: blobs
    properties: diagnosticsOf(setting)
  }
]

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource queueDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in diagnosticSettings: {
    name: setting.?name ?? 'rebuilder'
    scope: queueService
    properties: diagnosticsOf(setting)
  }
]

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource tableDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in diagnosticSettings: {
    name: setting.?name ?? 'rebuilder'
    scope: tableService
    properties: diagnosticsOf(setting)
  }
]

@description('Name of the account.')
output name string = account.name

@description('Resource id of the account.')
output resourceId string = account.id
