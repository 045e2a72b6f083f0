using './main.bicep'

// The operators' page beside the product: a second app, behind the sign-in of an app registration.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rebuilder')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param registries = [
  {
    name: 'mybaseregistry'
    use: 'base'
    resourceGroupName: 'platform-images'
  }
  {
    name: 'myappregistry'
    use: 'tasks'
    resourceGroupName: 'shop'
  }
]
param dashboard = {
  clientId: '33333333-3333-3333-3333-333333333333'
}
