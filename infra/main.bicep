targetScope = 'subscription'

metadata name = 'ACR Rebuilder'
metadata description = 'Everything but the event subscriptions, which need the published function app: event-subscriptions.bicep.'

import { networkType, registryType, sampleTaskType, topicType } from 'modules/types.bicep'

@description('Required. Name of the environment; azd gives its own. Names of resources come from it.')
@minLength(1)
@maxLength(48)
param environmentName string

@description('Required. Region of everything that is made.')
@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Required. The registries that take part: at least one base registry and one with tasks.')
@minLength(1)
@maxLength(200)
param registries registryType[]

@description('Optional. Resource group that is made for the product. By default `rg-` and the name of the environment.')
@maxLength(90)
param resourceGroupName string = ''

@description('Optional. Tags of every resource, besides `azd-env-name`.')
param tags object = {}

@description('Optional. App settings besides those that the template gives: names of the settings table in README.md.')
param appSettings object = {}

@description('Optional. Memory of an instance of the function app in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. How many instances of the function app there may be.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Optional. How many instances wait for pushes. One keeps the first event after a pause from being delivered twice, and costs money all the time.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstanceCount int = 0

@description('Optional. Redundancy of the storage account.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param storageSkuName string = 'Standard_LRS'

@description('Optional. Days for which deleted blobs can be brought back.')
@minValue(1)
@maxValue(365)
param blobSoftDeleteDays int = 7

@description('Optional. Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionInDays int = 30

@description('Optional. Gigabytes of logs a day, after which no more are taken; -1 for no limit.')
@minValue(-1)
@maxValue(1000)
param logDailyQuotaGb int = 1

@description('Optional. Whether there are alerts and a workbook.')
param alerts bool = true

@description('Optional. Addresses that get an e-mail from alerts. Without any, alerts are seen in the portal only.')
@maxLength(20)
param alertEmails string[] = []

@description('Optional. Minutes after which a task that is known to be stale, and was not rebuilt, is an alert.')
@minValue(15)
@maxValue(1440)
param staleMinutes int = 60

@description('Optional. Whether storage and the registries that the template makes are closed to the public, the function app to all but Event Grid, with private endpoints between them.')
param privateNetwork bool = false

@description('Optional. Addresses of the private network.')
param network networkType = {}

@description('Optional. Whether the storage account, which holds the ledger, cannot be deleted.')
param lock bool = false

@description('Optional. Whether the product may pull from task registries. With it, output images tell what they were built on, and build files in OCI artifacts are read; nothing else needs it.')
param readOutputImages bool = false

@description('Optional. A sample task. By default none.')
param sampleTask sampleTaskType?

var abbreviations = loadJsonContent('abbreviations.json')
var roleActions = loadJsonContent('rebuilder-role.json', 'Actions')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var allTags = union(tags, { 'azd-env-name': environmentName })
var groupName = empty(resourceGroupName)
  ? '${abbreviations.resourcesResourceGroups}${environmentName}'
  : resourceGroupName
var identityName = '${abbreviations.managedIdentityUserAssignedIdentities}rebuilder-${resourceToken}'
var storageName = '${abbreviations.storageStorageAccounts}${resourceToken}'
var appName = '${abbreviations.webSitesFunctions}rebuilder-${resourceToken}'
var packageContainerName = 'app-package'
var deadLetterContainerName = 'dead-letters'

// Known before the identity is made, so that what-if can tell the names of role assignments.
var identityResourceId = resourceId(
  subscription().subscriptionId,
  groupName,
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  identityName
)

var places = [
  for registry in registries: {
    name: registry.name
    subscriptionId: registry.?subscriptionId ?? subscription().subscriptionId
    resourceGroupName: registry.?resourceGroupName ?? groupName
    resourceId: resourceId(
      registry.?subscriptionId ?? subscription().subscriptionId,
      registry.?resourceGroupName ?? groupName,
      'Microsoft.ContainerRegistry/registries',
      registry.name
    )
    location: registry.?location ?? location
    abac: registry.?abac ?? false
    isNew: registry.?create ?? false
    isBase: registry.use != 'tasks'
    hasTasks: registry.use != 'base'
    topicName: registry.?topicName ?? '${abbreviations.eventGridSystemTopics}${registry.name}'
    topicIsExisting: registry.?topicName != null
    groupTopicName: registry.?groupTopicName ?? ''
  }
]
var bases = filter(places, place => place.isBase)
var taskPlaces = filter(places, place => place.hasTasks)
var baseIds = map(bases, place => place.resourceId)
var taskIds = map(taskPlaces, place => place.resourceId)
var subscriptionIds = union([subscription().id], map(places, place => '/subscriptions/${place.subscriptionId}'))
// Registries of one group share one topic: Azure allows one for each source.
var taskGroups = union(
  map(taskPlaces, place => {
    subscriptionId: place.subscriptionId
    resourceGroupName: place.resourceGroupName
    name: place.groupTopicName
  }),
  []
)
var ownGroupTopic = '${abbreviations.eventGridSystemTopics}tasks-${resourceToken}'
var newPlaces = filter(places, place => place.isNew)

// Each role has the actions of its kind of registry: scheduleRun is of no use in a base registry.
var authorizationActions = filter(roleActions, action => startsWith(action, 'Microsoft.Authorization/'))
var registryActions = filter(roleActions, action => !startsWith(action, 'Microsoft.Authorization/'))
var baseActions = union(['Microsoft.ContainerRegistry/registries/read'], authorizationActions)

var sampleRegistry = first(filter(places, place => place.name == (sampleTask.?registryName ?? '')))
var sampleBase = first(filter(places, place => place.name == (sampleTask.?baseRegistryName ?? '')))

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: location
  tags: allTags
}

module identity 'modules/identity.bicep' = {
  scope: group
  name: 'rebuilder-identity'
  params: {
    name: identityName
    location: location
    tags: allTags
  }
}

module baseRole 'modules/role.bicep' = {
  name: 'rebuilder-base-role'
  params: {
    name: 'ACR Rebuilder, base registries (${resourceToken})'
    roleDescription: 'Read a base registry, and tell which role is missing where a build may not pull from it.'
    actions: baseActions
    assignableScopes: subscriptionIds
  }
}

module taskRole 'modules/role.bicep' = {
  name: 'rebuilder-task-role'
  params: {
    name: 'ACR Rebuilder, task registries (${resourceToken})'
    roleDescription: 'Find the tasks of a registry, start their runs, follow them, and read why one failed.'
    actions: registryActions
    assignableScopes: subscriptionIds
  }
}

module newRegistries 'modules/registry.bicep' = [
  for registry in registries: if (registry.?create ?? false) {
    scope: resourceGroup(
      registry.?subscriptionId ?? subscription().subscriptionId,
      registry.?resourceGroupName ?? group.name
    )
    name: 'rebuilder-registry-${uniqueString(resourceToken, registry.name)}'
    params: {
      name: registry.name
      location: registry.?location ?? location
      tags: allTags
      sku: registry.?sku ?? (privateNetwork ? 'Premium' : 'Basic')
      abac: registry.?abac ?? false
      closed: privateNetwork
    }
  }
]

module access 'modules/registry-access.bicep' = [
  for place in places: {
    scope: resourceGroup(place.subscriptionId, place.resourceGroupName)
    name: 'rebuilder-access-${uniqueString(resourceToken, place.resourceId)}'
    params: {
      registryName: place.name
      principalId: identity.outputs.principalId
      principalKey: identityResourceId
      customRoleNames: concat(
        place.isBase ? [guid(subscription().id, 'ACR Rebuilder, base registries (${resourceToken})')] : [],
        place.hasTasks ? [guid(subscription().id, 'ACR Rebuilder, task registries (${resourceToken})')] : []
      )
      pull: place.isBase || readOutputImages
      abac: place.abac
    }
    dependsOn: [
      baseRole
      taskRole
      newRegistries
    ]
  }
]

module storage 'modules/storage.bicep' = {
  scope: group
  name: 'rebuilder-storage'
  params: {
    name: storageName
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
    identityResourceId: identityResourceId
    skuName: storageSkuName
    closed: privateNetwork
    lock: lock
    softDeleteDays: blobSoftDeleteDays
    packageContainerName: packageContainerName
    deadLetterContainerName: deadLetterContainerName
    queueNames: [
      'rebuilder-pushes'
      'rebuilder-builds'
      'rebuilder-runs'
      'rebuilder-refresh'
    ]
    tableNames: [
      'rebuilderbookmarks'
      'rebuilderdeadletters'
      'rebuilderdecisions'
      'rebuilderdependents'
      'rebuilderfailures'
      'rebuilderignored'
      'rebuilderoutputs'
      'rebuilderpushdays'
      'rebuilderpushes'
      'rebuilderrebuilds'
      'rebuilderrefreshes'
      'rebuilderstore'
      'rebuilderunsettled'
      'rebuilderviews'
    ]
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  name: 'rebuilder-monitoring'
  params: {
    workspaceName: '${abbreviations.operationalInsightsWorkspaces}rebuilder-${resourceToken}'
    componentName: '${abbreviations.insightsComponents}rebuilder-${resourceToken}'
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
    identityResourceId: identityResourceId
    retentionInDays: logRetentionInDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module privateNet 'modules/network.bicep' = if (privateNetwork) {
  scope: group
  name: 'rebuilder-network'
  params: {
    name: '${abbreviations.networkVirtualNetworks}rebuilder-${resourceToken}'
    securityGroupPrefix: '${abbreviations.networkNetworkSecurityGroups}rebuilder-${resourceToken}-'
    endpointPrefix: '${abbreviations.networkPrivateEndpoints}rebuilder-${resourceToken}-'
    location: location
    tags: allTags
    network: network
    storageAccountResourceId: storage.outputs.resourceId
    registries: map(newPlaces, place => {
      name: place.name
      subscriptionId: place.subscriptionId
      resourceGroupName: place.resourceGroupName
    })
  }
  dependsOn: [
    newRegistries
  ]
}

module app 'modules/function-app.bicep' = {
  scope: group
  name: 'rebuilder-app'
  params: {
    name: appName
    planName: '${abbreviations.webServerFarms}rebuilder-${resourceToken}'
    location: location
    tags: allTags
    serviceName: 'rebuilder'
    identityResourceId: identity.outputs.resourceId
    storageAccountName: storage.outputs.name
    packageContainerName: packageContainerName
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstanceCount: alwaysReadyInstanceCount
    subnetResourceId: privateNetwork ? privateNet!.outputs.appSubnetResourceId : ''
    closed: privateNetwork
    settings: union(appSettings, {
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.outputs.clientId};Authorization=AAD'
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      AZURE_CLIENT_ID: identity.outputs.clientId
      AzureWebJobsStorage__accountName: storage.outputs.name
      AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${environment().suffixes.storage}'
      AzureWebJobsStorage__clientId: identity.outputs.clientId
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${environment().suffixes.storage}'
      AzureWebJobsStorage__tableServiceUri: 'https://${storageName}.table.${environment().suffixes.storage}'
      // Event Grid sends 1 MB at most; the host by itself would take 100 MB from whoever has the key.
      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '1572864'
      // As many as the host hands over at once (host.json: batchSize + newBatchThreshold, which each
      // queue has to itself). Python's own is the number of cores and 4: what is over it waits, and
      // uses up its time.
      PYTHON_THREADPOOL_THREAD_COUNT: '24'
      REBUILDER_ARM_ENDPOINT: environment().resourceManager
      REBUILDER_BASE_REGISTRIES: join(baseIds, ',')
      REBUILDER_DEAD_LETTERS: 'https://${storageName}.blob.${environment().suffixes.storage}/${deadLetterContainerName}'
      REBUILDER_TASK_REGISTRIES: join(taskIds, ',')
    })
  }
  dependsOn: [
    access
  ]
}

module actionGroup 'modules/action-group.bicep' = if (alerts && !empty(alertEmails)) {
  scope: group
  name: 'rebuilder-action-group'
  params: {
    name: '${abbreviations.insightsActionGroups}rebuilder-${resourceToken}'
    tags: allTags
    emails: alertEmails
  }
}

module logAlerts 'modules/alerts.bicep' = if (alerts) {
  scope: group
  name: 'rebuilder-alerts'
  params: {
    namePrefix: 'rebuilder-${resourceToken}-'
    location: location
    tags: allTags
    workspaceResourceId: monitoring.outputs.workspaceResourceId
    actionGroupResourceId: alerts && !empty(alertEmails) ? actionGroup!.outputs.resourceId : ''
    staleMinutes: staleMinutes
  }
}

module pushTopics 'modules/system-topic.bicep' = [
  for place in bases: {
    scope: resourceGroup(place.subscriptionId, place.resourceGroupName)
    name: 'rebuilder-topic-${uniqueString(resourceToken, place.resourceId)}'
    params: {
      name: place.topicName
      isExisting: place.topicIsExisting
      location: place.location
      tags: allTags
      sourceResourceId: place.resourceId
      topicType: 'Microsoft.ContainerRegistry.Registries'
      alerts: alerts
      actionGroupResourceId: alerts && !empty(alertEmails) ? actionGroup!.outputs.resourceId : ''
    }
    dependsOn: [
      newRegistries
    ]
  }
]

module taskTopics 'modules/system-topic.bicep' = [
  for place in taskGroups: {
    scope: resourceGroup(place.subscriptionId, place.resourceGroupName)
    name: 'rebuilder-tasks-${uniqueString(resourceToken, place.subscriptionId, place.resourceGroupName)}'
    params: {
      name: empty(place.name) ? ownGroupTopic : place.name
      isExisting: !empty(place.name)
      location: 'global'
      tags: allTags
      sourceResourceId: '/subscriptions/${place.subscriptionId}/resourceGroups/${place.resourceGroupName}'
      topicType: 'Microsoft.Resources.ResourceGroups'
      alerts: alerts
      actionGroupResourceId: alerts && !empty(alertEmails) ? actionGroup!.outputs.resourceId : ''
    }
    // The group of the product may be one of these: the account, which is in it, comes first.
    dependsOn: [
      storage
    ]
  }
]

module pushDeadLetters 'modules/dead-letter-access.bicep' = [
  for (place, index) in bases: {
    scope: group
    name: 'rebuilder-letters-${uniqueString(place.resourceId)}'
    params: {
      storageAccountName: storageName
      containerName: deadLetterContainerName
      principalId: pushTopics[index].outputs.principalId
      topicKey: place.resourceId
    }
    dependsOn: [
      storage
    ]
  }
]

module taskDeadLetters 'modules/dead-letter-access.bicep' = [
  for (place, index) in taskGroups: {
    scope: group
    name: 'rebuilder-letters-${uniqueString(place.subscriptionId, place.resourceGroupName)}'
    params: {
      storageAccountName: storageName
      containerName: deadLetterContainerName
      principalId: taskTopics[index].outputs.principalId
      topicKey: '/subscriptions/${place.subscriptionId}/resourceGroups/${place.resourceGroupName}'
    }
    dependsOn: [
      storage
    ]
  }
]

module task 'modules/sample-task.bicep' = if (sampleTask != null) {
  scope: resourceGroup(
    sampleRegistry.?subscriptionId ?? subscription().subscriptionId,
    sampleRegistry.?resourceGroupName ?? group.name
  )
  name: 'rebuilder-sample-task'
  params: {
    name: sampleTask.?name ?? 'taskhelloworld'
    registryName: sampleTask.?registryName ?? ''
    abac: sampleRegistry.?abac ?? false
    location: sampleRegistry.?location ?? location
    tags: allTags
    baseLoginServer: '${toLower(sampleTask.?baseRegistryName ?? '')}${environment().suffixes.acrLoginServer}'
    contextPath: sampleTask.?contextPath ?? 'https://github.com/Azure-Samples/acr-build-helloworld-node.git#master'
    dockerFilePath: sampleTask.?dockerFilePath ?? 'Dockerfile-app'
    imageName: sampleTask.?imageName ?? 'helloworld:{{.Run.ID}}'
  }
  dependsOn: [
    newRegistries
  ]
}

module taskAccess 'modules/registry-access.bicep' = if (sampleTask != null) {
  scope: resourceGroup(
    sampleBase.?subscriptionId ?? subscription().subscriptionId,
    sampleBase.?resourceGroupName ?? group.name
  )
  name: 'rebuilder-sample-access'
  params: {
    registryName: sampleTask.?baseRegistryName ?? ''
    principalId: task!.outputs.systemAssignedMIPrincipalId
    principalKey: '${sampleTask.?registryName ?? ''}/${sampleTask.?name ?? 'taskhelloworld'}'
    customRoleNames: []
    pull: true
    abac: sampleBase.?abac ?? false
  }
}

var pushTopicPlaces = [
  for place in bases: {
    name: place.topicName
    resourceGroupName: place.resourceGroupName
    subscriptionId: place.subscriptionId
  }
]
var taskTopicPlaces = [
  for place in taskGroups: {
    name: empty(place.name) ? ownGroupTopic : place.name
    resourceGroupName: place.resourceGroupName
    subscriptionId: place.subscriptionId
  }
]

@description('Resource group of the product.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app.')
output FUNCTION_APP_NAME string = app.outputs.name

@description('Resource id of the function app.')
output FUNCTION_APP_RESOURCE_ID string = app.outputs.resourceId

@description('Object id of the identity of the function app.')
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId

@description('Client id of the identity of the function app.')
output IDENTITY_CLIENT_ID string = identity.outputs.clientId

@description('Resource id of the storage account.')
output STORAGE_ACCOUNT_RESOURCE_ID string = storage.outputs.resourceId

@description('Container of the dead letters of Event Grid.')
output DEAD_LETTER_CONTAINER_NAME string = deadLetterContainerName

@description('System topics of the base registries.')
output PUSH_TOPICS topicType[] = pushTopicPlaces

@description('System topics of the resource groups of task registries.')
output TASK_TOPICS topicType[] = taskTopicPlaces

@description('What event-subscriptions.bicep is to be given, in the form of a parameter file.')
output EVENT_SUBSCRIPTION_PARAMETERS object = {
  functionAppName: { value: app.outputs.name }
  functionAppResourceGroupName: { value: group.name }
  storageAccountResourceId: { value: storage.outputs.resourceId }
  deadLetterContainerName: { value: deadLetterContainerName }
  pushTopics: { value: pushTopicPlaces }
  taskTopics: { value: taskTopicPlaces }
}
