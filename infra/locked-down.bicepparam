using './main.bicep'

// Nothing is open to the public but what Event Grid needs; new registries, a sample task, locks.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rebuilder')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param privateNetwork = true
param network = {
  addressPrefix: '10.90.0.0/24'
  appSubnetPrefix: '10.90.0.0/26'
  endpointSubnetPrefix: '10.90.0.64/26'
}
param registries = [
  {
    name: 'lockedbaseregistry'
    use: 'base'
    create: true
    abac: true
  }
  {
    name: 'lockedappregistry'
    use: 'tasks'
    create: true
    abac: true
  }
]
param sampleTask = {
  registryName: 'lockedappregistry'
  baseRegistryName: 'lockedbaseregistry'
}
param alwaysReadyInstanceCount = 1
param storageSkuName = 'Standard_ZRS'
param blobSoftDeleteDays = 30
param logRetentionInDays = 90
param lock = {
  kind: 'CanNotDelete'
}
param alertEmails = [
  'platform@example.com'
]
