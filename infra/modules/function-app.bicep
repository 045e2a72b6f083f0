import { diagnosticSettingType, diagnosticsOf, lockType } from 'types.bicep'

metadata name = 'Function app'
metadata description = 'The product, on Flex Consumption.'

@description('Required. Name of the function app.')
@minLength(2)
@maxLength(60)
param name string

@description('Required. Name of the plan.')
@minLength(1)
@maxLength(60)
param planName string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Name of the service in azure.yaml, by which azd finds the app.')
param serviceName string

@description('Required. Resource id of the identity.')
param identityResourceId string

@description('Required. Name of the storage account.')
param storageAccountName string

@description('Required. Container of the package.')
param packageContainerName string

@description('Required. App settings that the template gives.')
param settings object

@description('Required. App settings that hold where nothing else was chosen.')
param defaultSettings object

@description('Required. App settings that were chosen; those of the template come before them.')
@secure()
param chosenSettings object

@description('Required. Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Required. How many instances there may be.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Required. Whether instances are spread over availability zones.')
param zoneRedundant bool

@description('Required. How new code and new settings replace what runs.')
@allowed(['Recreate', 'RollingUpdate'])
param siteUpdateStrategy string

@description('Required. For which functions instances wait, as Azure has it: `function:NAME`, and how many.')
@maxLength(20)
param alwaysReady object[]

@description('Required. Resource id of the subnet of the app; empty for none.')
param subnetResourceId string

@description('Required. Whether nobody reaches the app but its own subnet and, where events come so, Event Grid.')
param closed bool

@description('Required. Whether Event Grid calls the app.')
param webhook bool

@description('Required. The lock.')
param lock lockType

@description('Required. Where logs and metrics go.')
@maxLength(5)
param diagnosticSettings diagnosticSettingType[]

// The platform asks the app itself for its triggers when it was published: from its own subnet.
var own = {
  action: 'Allow'
  description: 'The platform reads the triggers of the app from here.'
  name: 'own-subnet'
  priority: 110
  vnetSubnetResourceId: subnetResourceId
}
var eventGrid = {
  action: 'Allow'
  description: 'Event Grid delivers events.'
  ipAddress: 'AzureEventGrid'
  name: 'event-grid'
  priority: 100
  tag: 'ServiceTag'
}
var restrictions = {
  ipSecurityRestrictionsDefaultAction: 'Deny'
  scmIpSecurityRestrictionsDefaultAction: 'Deny'
  scmIpSecurityRestrictionsUseMain: false
  ipSecurityRestrictions: webhook ? [eventGrid, own] : [own]
  scmIpSecurityRestrictions: [own]
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': serviceName })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityResourceId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // Else references to Key Vault are resolved by a system-assigned identity, which there is none of.
    keyVaultReferenceIdentity: identityResourceId
    // Event Grid and who publishes have to reach the app: it is closed by access restrictions, not by this.
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetResourceId) ? null : subnetResourceId
    siteConfig: union(
      {
        http20Enabled: true
        minTlsVersion: '1.2'
        scmMinTlsVersion: '1.2'
      },
      closed ? restrictions : {}
    )
    #disable-next-line BCP037 // siteUpdateStrategy, which its documentation has and the types lack
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageAccountName}.blob.${environment().suffixes.storage}/${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityResourceId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        alwaysReady: alwaysReady
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
      // Recreate is what Azure does unasked.
      ...(siteUpdateStrategy == 'Recreate' ? {} : { siteUpdateStrategy: { type: siteUpdateStrategy } })
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: union(defaultSettings, chosenSettings, settings)
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource appLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: app
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in diagnosticSettings: {
    name: setting.?name ?? 'rebuilder'
    scope: app
    properties: diagnosticsOf(setting)
  }
]

@description('Name of the function app.')
output name string = app.name

@description('Host of the function app.')
output hostName string = app.properties.defaultHostName

@description('Resource id of the function app.')
output resourceId string = app.id
