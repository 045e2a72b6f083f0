metadata name = 'Sample task'
metadata description = 'A task as the product likes them: an identity of its own, credentials for the base registry, the trigger of ACR off.'

@description('Required. Name of the task.')
@minLength(5)
@maxLength(50)
param name string

@description('Required. Name of the registry of the task.')
@minLength(5)
@maxLength(50)
param registryName string

@description('Required. Whether that registry goes by Entra repository permissions (ABAC).')
param abac bool

@description('Required. Region of the registry.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Host of the registry that the base image is in.')
param baseLoginServer string

@description('Required. Build context.')
param contextPath string

@description('Required. Dockerfile in the context.')
param dockerFilePath string

@description('Required. Image that the task builds.')
param imageName string

var roles = loadJsonContent('../built-in-roles.json')

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: registryName
}

resource task 'Microsoft.ContainerRegistry/registries/tasks@2025-03-01-preview' = {
  parent: registry
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    agentConfiguration: {
      cpu: 2
    }
    credentials: {
      // In an ABAC registry a task has no rights of its own: it pushes as its identity.
      sourceRegistry: abac ? { identity: '[system]' } : { loginMode: 'Default' }
      customRegistries: {
        '${baseLoginServer}': {
          identity: '[system]'
        }
      }
    }
    platform: {
      architecture: 'amd64'
      os: 'Linux'
    }
    status: 'Enabled'
    step: {
      type: 'Docker'
      arguments: [
        {
          name: 'REGISTRY_NAME'
          value: baseLoginServer
          isSecret: false
        }
      ]
      contextPath: contextPath
      dockerFilePath: dockerFilePath
      imageNames: [
        imageName
      ]
      isPushEnabled: true
      noCache: false
    }
    timeout: 3600
    trigger: {
      // ACR would rebuild the image, too.
      baseImageTrigger: {
        baseImageTriggerType: 'Runtime'
        name: 'defaultBaseimageTriggerName'
        status: 'Disabled'
      }
    }
  }
}

resource pushAssignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (abac) {
  name: guid(registry.id, task.id, roles.containerRegistryRepositoryWriter)
  scope: registry
  properties: {
    principalId: task.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.containerRegistryRepositoryWriter
    )
  }
}

@description('Name of the task.')
output name string = task.name

@description('Resource id of the task.')
output resourceId string = task.id

@description('Object id of the identity of the task.')
output systemAssignedMIPrincipalId string = task.identity.principalId
