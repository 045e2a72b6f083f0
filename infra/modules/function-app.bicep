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

@description('Required. Every app setting.')
param settings object

@description('Required. Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Required. How many instances there may be.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int

@description('Required. How many instances wait for pushes; 0 for none.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstanceCount int

@description('Required. Resource id of the subnet of the app; empty for none.')
param subnetResourceId string

@description('Required. Whether only Event Grid reaches the app.')
param closed bool

var restrictions = {
  ipSecurityRestrictionsDefaultAction: 'Deny'
  scmIpSecurityRestrictionsDefaultAction: 'Deny'
  scmIpSecurityRestrictionsUseMain: false
  ipSecurityRestrictions: [
    {
      action: 'Allow'
      description: 'Event Grid delivers events.'
      ipAddress: 'AzureEventGrid'
      name: 'event-grid'
      priority: 100
      tag: 'ServiceTag'
    }
  ]
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
    // Event Grid has to reach the app: it is closed by access restrictions, not by this.
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
        alwaysReady: alwaysReadyInstanceCount == 0
          ? []
          : [
              {
                name: 'function:image_pushed'
                instanceCount: alwaysReadyInstanceCount
              }
            ]
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: settings
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

@description('Name of the function app.')
output name string = app.name

@description('Resource id of the function app.')
output resourceId string = app.id
