import { networkType, placeType } from 'types.bicep'

metadata name = 'Private network'
metadata description = 'A virtual network with the subnet of the function app, and private endpoints of the storage account.'

@description('Required. Name of the virtual network.')
@minLength(2)
@maxLength(64)
param name string

@description('Required. Prefix of the names of network security groups.')
param securityGroupPrefix string

@description('Required. Prefix of the names of private endpoints.')
param endpointPrefix string

@description('Required. Region.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Addresses.')
param network networkType

@description('Required. Resource id of the storage account.')
param storageAccountResourceId string

@description('Required. The registries that get private endpoints.')
@maxLength(20)
param registries placeType[]

var services = ['blob', 'queue', 'table']
var zones = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  'privatelink${environment().suffixes.acrLoginServer}'
]

resource appGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${securityGroupPrefix}app'
  location: location
  tags: tags
}

resource endpointGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${securityGroupPrefix}endpoints'
  location: location
  tags: tags
}

resource vnet 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        network.?addressPrefix ?? '10.90.0.0/24'
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: network.?appSubnetPrefix ?? '10.90.0.0/26'
          delegations: [
            {
              name: 'functions'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
          networkSecurityGroup: {
            id: appGroup.id
          }
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: network.?endpointSubnetPrefix ?? '10.90.0.64/26'
          networkSecurityGroup: {
            id: endpointGroup.id
          }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource dnsZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zones: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in zones: {
    parent: dnsZones[index]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      // A registry whose private endpoint is elsewhere has no record in this zone: ask the internet's.
      resolutionPolicy: 'NxDomainRedirect'
      virtualNetwork: {
        id: vnet.id
      }
    }
  }
]

resource storageEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for service in services: {
    name: '${endpointPrefix}${service}'
    location: location
    tags: tags
    properties: {
      privateLinkServiceConnections: [
        {
          name: service
          properties: {
            groupIds: [
              service
            ]
            privateLinkServiceId: storageAccountResourceId
          }
        }
      ]
      subnet: {
        id: vnet::endpointSubnet.id
      }
    }
  }
]

resource storageNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (service, index) in services: {
    parent: storageEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: service
          properties: {
            privateDnsZoneId: dnsZones[index].id
          }
        }
      ]
    }
  }
]

resource registryEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for registry in registries: {
    name: '${endpointPrefix}${registry.name}'
    location: location
    tags: tags
    properties: {
      privateLinkServiceConnections: [
        {
          name: 'registry'
          properties: {
            groupIds: [
              'registry'
            ]
            privateLinkServiceId: resourceId(
              registry.subscriptionId,
              registry.resourceGroupName,
              'Microsoft.ContainerRegistry/registries',
              registry.name
            )
          }
        }
      ]
      subnet: {
        id: vnet::endpointSubnet.id
      }
    }
  }
]

resource registryNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (registry, index) in registries: {
    parent: registryEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: 'registry'
          properties: {
            privateDnsZoneId: dnsZones[3].id
          }
        }
      ]
    }
  }
]

@description('Name of the virtual network.')
output name string = vnet.name

@description('Resource id of the virtual network.')
output resourceId string = vnet.id

@description('Resource id of the subnet of the function app.')
output appSubnetResourceId string = vnet::appSubnet.id
