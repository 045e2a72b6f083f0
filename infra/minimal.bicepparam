using './main.bicep'

// The least that works: two registries of one resource group, there already.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rebuilder')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param alerts = false
param registries = [
  {
    name: 'mybaseregistry'
    use: 'base'
    resourceGroupName: 'registries'
  }
  {
    name: 'myappregistry'
    use: 'tasks'
    resourceGroupName: 'registries'
  }
]
