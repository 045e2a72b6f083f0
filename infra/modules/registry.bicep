import { diagnosticSettingType, diagnosticsOf, lockType } from 'types.bicep'

metadata name = 'Registry'
metadata description = 'A container registry that was not there.'

@description('Required. Name of the registry.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Tier.')
@allowed(['Basic', 'Standard', 'Premium'])
param sku string

@description('Required. Whether it goes by Entra repository permissions (ABAC).')
param abac bool

@description('Required. Whether only private endpoints and trusted services of Azure reach it; Premium only.')
param closed bool

@description('Required. The lock.')
param lock lockType

@description('Required. Where logs and metrics go.')
@maxLength(5)
param diagnosticSettings diagnosticSettingType[]

var network = {
  networkRuleBypassOptions: 'AzureServices'
  // Runs of tasks come from outside: without this they are refused by the firewall.
  networkRuleBypassAllowedForTasks: true
  networkRuleSet: {
    defaultAction: 'Deny'
  }
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
  }
  properties: union(
    {
      adminUserEnabled: false
      anonymousPullEnabled: false
      publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
      roleAssignmentMode: abac ? 'AbacRepositoryPermissions' : 'LegacyRegistryPermissions'
    },
    closed ? network : {}
  )
}

resource resourceLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: registry
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in diagnosticSettings: {
    name: setting.?name ?? 'rebuilder'
    scope: registry
    properties: diagnosticsOf(setting)
  }
]

@description('Name of the registry.')
output name string = registry.name

@description('Resource id of the registry.')
output resourceId string = registry.id

@description('Host of the registry.')
output loginServer string = registry.properties.loginServer
