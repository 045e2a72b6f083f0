targetScope = 'subscription'

metadata name = 'Custom role'
metadata description = 'A role with exactly the actions that it is given.'

@description('Required. Name of the role, unique in the tenant.')
@minLength(1)
@maxLength(128)
param name string

@description('Required. What the role is for.')
@minLength(1)
@maxLength(1024)
param roleDescription string

@description('Required. Actions of Azure Resource Manager.')
@minLength(1)
@maxLength(20)
param actions string[]

@description('Required. Where the role may be assigned.')
@minLength(1)
@maxLength(2000)
param assignableScopes string[]

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, name)
  properties: {
    roleName: name
    description: roleDescription
    type: 'CustomRole'
    permissions: [
      {
        actions: actions
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: assignableScopes
  }
}

@description('Name of the role definition: its GUID.')
output name string = role.name

@description('Resource id of the role definition.')
output resourceId string = role.id
