metadata name = 'Access to a registry'
metadata description = 'What one identity may do in one registry: a custom role, where it is given, and pulling.'

@description('Required. Name of the registry.')
@minLength(5)
@maxLength(50)
param registryName string

@description('Required. Object id of who gets the roles.')
@minLength(36)
@maxLength(36)
param principalId string

@description('Required. Resource id of the same, or any text that stands for it alone. It names the role assignments.')
param principalKey string

@description('Required. GUIDs of custom roles.')
@maxLength(2)
param customRoleNames string[]

@description('Required. Whether it may pull.')
param pull bool

@description('Required. Whether the registry goes by Entra repository permissions (ABAC), so that AcrPull does not count.')
param abac bool

var roles = loadJsonContent('../built-in-roles.json')
var pullRole = abac ? roles.containerRegistryRepositoryReader : roles.acrPull

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource customAssignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in customRoleNames: {
    name: guid(registry.id, principalKey, role)
    scope: registry
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource pullAssignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (pull) {
  name: guid(registry.id, principalKey, pullRole)
  scope: registry
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', pullRole)
  }
}
