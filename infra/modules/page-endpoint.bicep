metadata name = 'Private endpoint of the page'
metadata description = 'The one way to the operators\' page where it is closed to the public.'

@description('Required. Prefix of the names of private endpoints.')
param endpointPrefix string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Resource id of the function app.')
param appResourceId string

@description('Required. Resource id of the subnet of private endpoints.')
param subnetResourceId string

@description('Required. Resource id of the virtual network.')
param networkResourceId string

@description('Required. Name of the link of the network to the zone.')
param linkName string

@description('Required. Resource id of the private DNS zone; empty for one that is made.')
param zoneResourceId string

// Source: learn.microsoft.com, "Azure Private Endpoint private DNS zone values".
var zoneNames = {
  AzureCloud: 'privatelink.azurewebsites.net'
  AzureChinaCloud: 'privatelink.chinacloudsites.cn'
  AzureUSGovernment: 'privatelink.azurewebsites.us'
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = if (empty(zoneResourceId)) {
  name: zoneNames[environment().name]
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (empty(zoneResourceId)) {
  parent: zone
  name: linkName
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    // Other apps have no record in this zone: ask the internet's.
    resolutionPolicy: 'NxDomainRedirect'
    virtualNetwork: {
      id: networkResourceId
    }
  }
}

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: '${endpointPrefix}page'
  location: location
  tags: tags
  properties: {
    privateLinkServiceConnections: [
      {
        name: 'sites'
        properties: {
          groupIds: [
            'sites'
          ]
          privateLinkServiceId: appResourceId
        }
      }
    ]
    subnet: {
      id: subnetResourceId
    }
  }
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'sites'
        properties: {
          privateDnsZoneId: empty(zoneResourceId) ? zone.id : zoneResourceId
        }
      }
    ]
  }
}

@description('Resource id of the private endpoint.')
output resourceId string = endpoint.id
