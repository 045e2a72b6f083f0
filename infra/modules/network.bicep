import { lockType, networkType, placeType } from 'types.bicep'

metadata name = 'Private network'
metadata description = 'A virtual network with the subnet of the function app, or subnets that are there, and private endpoints of storage and registries.'

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

@description('Required. The lock.')
param lock lockType

@description('Required. Addresses.')
param network networkType

@description('Required. Resource id of the storage account.')
param storageAccountResourceId string

@description('Required. Resource id of the storage account of the operators\' page; empty for none.')
param pageStorageResourceId string

@description('Required. Resource id of a key vault that gets a private endpoint; empty for none.')
param vaultResourceId string

@description('Required. The registries that get private endpoints.')
@maxLength(200)
param registries placeType[]

var services = ['blob', 'queue', 'table']
var zones = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
  'privatelink${environment().suffixes.acrLoginServer}'
]
var hasVault = !empty(vaultResourceId)
var givenVaultZone = network.?privateDnsZoneResourceIds.?vault ?? ''
// What environment() calls vault.azure.net is vaultcore.azure.net in private DNS, in every cloud.
var vaultZone = 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'

var isOwn = empty(network.?appSubnetResourceId)
var vnetId = isOwn
  ? resourceId('Microsoft.Network/virtualNetworks', name)
  : split(network.?appSubnetResourceId ?? '', '/subnets/')[0]
var appSubnetId = isOwn
  ? resourceId('Microsoft.Network/virtualNetworks/subnets', name, 'app')
  : network.?appSubnetResourceId ?? ''
var endpointSubnetId = isOwn
  ? resourceId('Microsoft.Network/virtualNetworks/subnets', name, 'endpoints')
  : network.?endpointSubnetResourceId ?? fail('network.appSubnetResourceId needs network.endpointSubnetResourceId, too.')
var givenZones = [
  network.?privateDnsZoneResourceIds.?blob ?? ''
  network.?privateDnsZoneResourceIds.?queue ?? ''
  network.?privateDnsZoneResourceIds.?table ?? ''
  network.?privateDnsZoneResourceIds.?registry ?? ''
]

resource appGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = if (isOwn) {
  name: '${securityGroupPrefix}app'
  location: location
  tags: tags
}

resource endpointGroup 'Microsoft.Network/networkSecurityGroups@2025-05-01' = if (isOwn) {
  name: '${securityGroupPrefix}endpoints'
  location: location
  tags: tags
}

resource vnet 'Microsoft.Network/virtualNetworks@2025-05-01' = if (isOwn) {
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
          // By it the access rule of the app knows its own subnet.
          serviceEndpoints: [
            {
              service: 'Microsoft.Web'
            }
          ]
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
}

resource vnetLock 'Microsoft.Authorization/locks@2020-05-01' = if (isOwn && (lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: vnet
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

resource dnsZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for (zone, index) in zones: if (empty(givenZones[index])) {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in zones: if (empty(givenZones[index])) {
    parent: dnsZones[index]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      // A registry whose private endpoint is elsewhere has no record in this zone: ask the internet's.
      resolutionPolicy: 'NxDomainRedirect'
      virtualNetwork: {
        id: vnetId
      }
    }
    dependsOn: [
      vnet
    ]
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
        id: endpointSubnetId
      }
    }
    dependsOn: [
      vnet
    ]
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
            privateDnsZoneId: empty(givenZones[index])
              ? resourceId('Microsoft.Network/privateDnsZones', zones[index])
              : givenZones[index]
          }
        }
      ]
    }
    dependsOn: [
      dnsZones
    ]
  }
]

resource pageStorage 'Microsoft.Network/privateEndpoints@2025-05-01' = if (!empty(pageStorageResourceId)) {
  name: '${endpointPrefix}page-blob'
  location: location
  tags: tags
  properties: {
    privateLinkServiceConnections: [
      {
        name: 'blob'
        properties: {
          groupIds: [
            'blob'
          ]
          privateLinkServiceId: pageStorageResourceId
        }
      }
    ]
    subnet: {
      id: endpointSubnetId
    }
  }
  dependsOn: [
    vnet
  ]
}

resource pageStorageName 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = if (!empty(pageStorageResourceId)) {
  parent: pageStorage
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'blob'
        properties: {
          privateDnsZoneId: empty(givenZones[0])
            ? resourceId('Microsoft.Network/privateDnsZones', zones[0])
            : givenZones[0]
        }
      }
    ]
  }
  dependsOn: [
    dnsZones
  ]
}

resource vaultDns 'Microsoft.Network/privateDnsZones@2024-06-01' = if (hasVault && empty(givenVaultZone)) {
  name: vaultZone
  location: 'global'
  tags: tags
}

resource vaultLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = if (hasVault && empty(givenVaultZone)) {
  parent: vaultDns
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    resolutionPolicy: 'NxDomainRedirect'
    virtualNetwork: {
      id: vnetId
    }
  }
  dependsOn: [
    vnet
  ]
}

resource vaultEndpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = if (hasVault) {
  name: '${endpointPrefix}vault'
  location: location
  tags: tags
  properties: {
    privateLinkServiceConnections: [
      {
        name: 'vault'
        properties: {
          groupIds: [
            'vault'
          ]
          privateLinkServiceId: vaultResourceId
        }
      }
    ]
    subnet: {
      id: endpointSubnetId
    }
  }
  dependsOn: [
    vnet
  ]
}

resource vaultName 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = if (hasVault) {
  parent: vaultEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'vault'
        properties: {
          privateDnsZoneId: empty(givenVaultZone)
            ? resourceId('Microsoft.Network/privateDnsZones', vaultZone)
            : givenVaultZone
        }
      }
    ]
  }
  dependsOn: [
    vaultDns
  ]
}

resource registryEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for registry in registries: {
    // They end after 64 characters.
    name: length('${endpointPrefix}${registry.name}') > 64
      ? '${take('${endpointPrefix}${registry.name}', 50)}-${uniqueString(toLower(registry.name))}'
      : '${endpointPrefix}${registry.name}'
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
        id: endpointSubnetId
      }
    }
    dependsOn: [
      vnet
    ]
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
            privateDnsZoneId: empty(givenZones[3])
              ? resourceId('Microsoft.Network/privateDnsZones', zones[3])
              : givenZones[3]
          }
        }
      ]
    }
    dependsOn: [
      dnsZones
    ]
  }
]

@description('Resource id of the virtual network.')
output resourceId string = vnetId

@description('Resource id of the subnet of the function app.')
output appSubnetResourceId string = appSubnetId

@description('Resource id of the subnet of the private endpoints.')
output endpointSubnetResourceId string = endpointSubnetId
