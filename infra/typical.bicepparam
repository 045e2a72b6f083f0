using './main.bicep'

// Two registries in two subscriptions, one of them with ABAC; alerts by e-mail.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'rebuilder')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
param registries = [
  {
    name: 'mybaseregistry'
    use: 'base'
    resourceGroupName: 'platform-images'
    subscriptionId: '11111111-1111-1111-1111-111111111111'
    location: 'northeurope'
  }
  {
    name: 'myappregistry'
    use: 'tasks'
    resourceGroupName: 'shop'
    subscriptionId: '22222222-2222-2222-2222-222222222222'
    abac: true
  }
]
param readOutputImages = true
param alertEmails = [
  'platform@example.com'
]
param budget = {
  amount: 50
  startDate: '2026-12-01'
}
param tags = {
  owner: 'platform'
}
param appSettings = {
  REBUILDER_REBUILD_FOR: 'all'
}
