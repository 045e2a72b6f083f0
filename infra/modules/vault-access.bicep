metadata name = 'Access to a key vault'
metadata description = 'Lets the identity of the function app read secrets, for app settings that refer to them.'

@description('Required. Name of the key vault.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Required. Object id of the identity.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Resource id of the same identity. It names the role assignment.')
param identityResourceId string

var roles = loadJsonContent('../built-in-roles.json')

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
}

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, identityResourceId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}
