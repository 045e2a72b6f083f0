targetScope = 'subscription'

metadata name = 'ACR Rebuilder'
metadata description = 'Everything but the event subscriptions, which need the published function app: event-subscriptions.bicep.'

import {
  alwaysReadyType
  appSettingsType
  budgetType
  dashboardType
  diagnosticSettingType
  existingType
  lockType
  namesType
  networkType
  registryType
  sampleTaskType
  topicType
} from 'modules/types.bicep'

@description('Required. Name of the environment; azd gives its own. Names of resources come from it.')
@minLength(1)
@maxLength(48)
param environmentName string

@description('Required. Region of everything that is made.')
@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Required. The registries that take part: at least one whose use is `base` or `both`, and one whose use is `tasks` or `both`.')
@minLength(1)
@maxLength(200)
param registries registryType[]

@description('Optional. Resource group that is made for the product. By default `rg-` and the name of the environment.')
@maxLength(90)
param resourceGroupName string = ''

@description('Optional. Tags of every resource, besides `azd-env-name`.')
param tags object = {}

@description('Optional. Names of resources. By default they come from the name of the environment.')
param names namesType = {}

@description('Optional. What is there already and is used instead of one that the template makes.')
param existing existingType = {}

@description('Optional. App settings of the product. They may hold secrets, so no deployment shows them.')
param appSettings appSettingsType = {}

@description('Optional. App settings that are none of the product, for the Functions host or its packages, for example `OTEL_EXPORTER_OTLP_ENDPOINT`.')
@secure()
param platformSettings object = {}

@description('Optional. How events reach the app. `webhook`: Event Grid calls the functions. `queue`: Event Grid puts them into a queue of the storage account with the identity of the topic; nothing has to be open or awake for that. By default `queue` with `privateNetwork`, else `webhook`.')
@allowed(['webhook', 'queue'])
param eventDelivery string = privateNetwork ? 'queue' : 'webhook'

@description('Optional. Memory of an instance of the function app in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. How many instances of the function app there may be, which bounds what a flood may cost and may ask of Azure Resource Manager. By default each function may have one, and the busy ones several.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 20

@description('Optional. How many instances wait for events. One keeps the first event after a pause from being delivered twice, and costs money all the time.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstanceCount int = 0

@description('Optional. Other functions for which instances wait, each with instances of its own.')
@maxLength(20)
param alwaysReady alwaysReadyType[] = []

@description('Optional. Whether the instances of the function app are spread over the availability zones of the region. Azure keeps two of each function ready then, which cost money all the time (docs/operations.md). `storageSkuName` has to be of several zones, too.')
param zoneRedundant bool = false

@description('Optional. How new code and new settings replace what runs. `Recreate` ends it at once, and what was under way is done again. `RollingUpdate`, which Azure calls a preview, lets it end first; old and new code run beside each other meanwhile.')
@allowed(['Recreate', 'RollingUpdate'])
param siteUpdateStrategy string = 'Recreate'

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

@description('Optional. Minutes without a sweep after which it is an alert. At least two intervals of REBUILDER_SWEEP_SCHEDULE.')
@minValue(30)
@maxValue(1440)
param silenceMinutes int = 60

@description('Optional. What the resource group of the product may cost in a month before somebody is told. By default nobody is. What ACR Tasks cost is in the groups of the registries, and no part of it.')
param budget budgetType?

@description('Optional. Whether storage and the registries that the template makes are closed to the public, the function app to all but Event Grid, with private endpoints between them.')
param privateNetwork bool = false

@description('Optional. Addresses of the private network, or subnets and DNS zones that are there.')
param network networkType = {}

@description('Optional. Lock of everything that is made and holds something or is hard to make again: storage, identity, logs, function app, network, topics, registries, action group.')
param lock lockType = {}

@description('Optional. Where logs and metrics of the resources themselves go: storage, topics, registries and function app, as far as the template makes them. By default nowhere; what they cost is paid by volume.')
@maxLength(5)
param diagnosticSettings diagnosticSettingType[] = []

@description('Optional. Whether the product may pull from task registries. With it, output images tell what they were built on, and build files in OCI artifacts are read; nothing else needs it.')
param readOutputImages bool = false

@description('Optional. A sample task. By default none.')
param sampleTask sampleTaskType?

@description('Optional. The operators\' page, as a second function app behind the sign-in of Entra. By default none.')
param dashboard dashboardType?

var abbreviations = loadJsonContent('abbreviations.json')
var roles = loadJsonContent('built-in-roles.json')
var roleActions = loadJsonContent('rebuilder-role.json', 'Actions')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
// By these tags tools/remove.py finds what was made.
var allTags = union(tags, { 'azd-env-name': environmentName, 'rebuilder-token': resourceToken })
var groupName = empty(resourceGroupName)
  ? '${abbreviations.resourcesResourceGroups}${environmentName}'
  : resourceGroupName
var suffix = 'rebuilder-${resourceToken}'
var identityName = names.?identity ?? '${abbreviations.managedIdentityUserAssignedIdentities}${suffix}'
var storageName = names.?storageAccount ?? '${abbreviations.storageStorageAccounts}${resourceToken}'
var appName = names.?functionApp ?? '${abbreviations.webSitesFunctions}${suffix}'
var workspaceName = names.?workspace ?? '${abbreviations.operationalInsightsWorkspaces}${suffix}'
var vnetName = names.?virtualNetwork ?? '${abbreviations.networkVirtualNetworks}${suffix}'
// What is in a network that was named is named like it.
var inVnet = names.?virtualNetwork ?? suffix
var componentName = names.?applicationInsights ?? '${abbreviations.insightsComponents}${suffix}'
var alertPrefix = names.?alertPrefix ?? '${suffix}-'
var eventQueueName = 'rebuilder-events'
var byQueue = eventDelivery == 'queue'
var packageContainerName = 'app-package'
var deadLetterContainerName = 'dead-letters'
var policyContainerName = 'rebuilder-policy'
var actQueueName = 'rebuilder-acts'

var hasPage = dashboard != null
var pageSuffix = 'page-${resourceToken}'
var pageName = dashboard.?name ?? '${abbreviations.webSitesFunctions}${pageSuffix}'
var pageIdentityName = dashboard.?identityName ?? '${abbreviations.managedIdentityUserAssignedIdentities}${pageSuffix}'
var pageStorageName = dashboard.?storageAccountName ?? '${abbreviations.storageStorageAccounts}page${resourceToken}'
var pageIdentityResourceId = resourceId(
  subscription().subscriptionId,
  groupName,
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  pageIdentityName
)

// Known before the identity is made, so that what-if can tell the names of role assignments.
var identityResourceId = existing.?identityResourceId ?? resourceId(
  subscription().subscriptionId,
  groupName,
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  identityName
)
var identityPlace = split(identityResourceId, '/')
var vaultPlace = split(existing.?keyVaultResourceId ?? '////////', '/')

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
    // Azure's names of topics end after 50 characters, where those of registries do.
    topicName: registry.?topicName ?? (length(registry.name) > 45
      ? '${abbreviations.eventGridSystemTopics}${take(registry.name, 31)}-${uniqueString(toLower(registry.name))}'
      : '${abbreviations.eventGridSystemTopics}${registry.name}')
    topicIsExisting: registry.?topicName != null
    groupTopicName: registry.?groupTopicName ?? ''
    hasEndpoint: privateNetwork && (registry.?privateEndpoint ?? registry.?create ?? false)
  }
]
var bases = empty(filter(places, place => place.isBase))
  ? fail('No base registry: one entry of registries needs the use base or both.')
  : filter(places, place => place.isBase)
var taskPlaces = empty(filter(places, place => place.hasTasks))
  ? fail('No registry with tasks: one entry of registries needs the use tasks or both.')
  : filter(places, place => place.hasTasks)
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
var endpointPlaces = filter(places, place => place.hasEndpoint)

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

module identity 'modules/identity.bicep' = if (empty(existing.?identityResourceId)) {
  scope: group
  name: 'rebuilder-identity'
  params: {
    name: identityName
    location: location
    tags: allTags
    lock: lock
  }
}

module who 'modules/identity-details.bicep' = {
  scope: resourceGroup(identityPlace[2], identityPlace[4])
  name: 'rebuilder-who-${resourceToken}'
  params: {
    name: last(identityPlace)
  }
  dependsOn: [
    identity
  ]
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
      sku: privateNetwork && (registry.?sku ?? 'Premium') != 'Premium'
        ? fail('Registry ${registry.name}: privateNetwork closes it, and only Premium has private endpoints.')
        : registry.?sku ?? (privateNetwork ? 'Premium' : 'Basic')
      abac: registry.?abac ?? false
      closed: privateNetwork
      lock: lock
      diagnosticSettings: diagnosticSettings
    }
  }
]

module access 'modules/registry-access.bicep' = [
  for place in places: {
    scope: resourceGroup(place.subscriptionId, place.resourceGroupName)
    name: 'rebuilder-access-${uniqueString(resourceToken, place.resourceId)}'
    params: {
      registryName: place.name
      principalId: who.outputs.principalId
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
    principalId: who.outputs.principalId
    identityResourceId: identityResourceId
    skuName: storageSkuName
    closed: privateNetwork
    lock: lock
    diagnosticSettings: diagnosticSettings
    softDeleteDays: blobSoftDeleteDays
    // What the Functions host (blobs, queues) and the product (queues, tables) need: docs/security.md.
    roleIds: [
      roles.storageBlobDataOwner
      roles.storageQueueDataContributor
      roles.storageTableDataContributor
    ]
    containerNames: [
      packageContainerName
      deadLetterContainerName
      // Where `rebuilder policy apply` puts the policy file.
      policyContainerName
    ]
    queueNames: [
      eventQueueName
      'rebuilder-pushes'
      'rebuilder-builds'
      'rebuilder-runs'
      'rebuilder-refresh'
      actQueueName
      'rebuilder-messages'
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
    workspaceName: workspaceName
    existingWorkspaceResourceId: existing.?workspaceResourceId ?? ''
    componentName: componentName
    location: location
    tags: allTags
    lock: lock
    principalId: who.outputs.principalId
    identityResourceId: identityResourceId
    retentionInDays: logRetentionInDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module privateNet 'modules/network.bicep' = if (privateNetwork) {
  scope: group
  name: 'rebuilder-network'
  params: {
    name: vnetName
    securityGroupPrefix: '${abbreviations.networkNetworkSecurityGroups}${inVnet}-'
    endpointPrefix: '${abbreviations.networkPrivateEndpoints}${inVnet}-'
    location: location
    tags: allTags
    lock: lock
    network: network
    storageAccountResourceId: storage.outputs.resourceId
    pageStorageResourceId: hasPage
      ? resourceId(
          subscription().subscriptionId,
          groupName,
          'Microsoft.Storage/storageAccounts',
          pageStorageName
        )
      : ''
    vaultResourceId: existing.?keyVaultResourceId ?? ''
    registries: map(endpointPlaces, place => {
      name: place.name
      subscriptionId: place.subscriptionId
      resourceGroupName: place.resourceGroupName
    })
  }
  dependsOn: [
    newRegistries
    pageStorage
  ]
}

module vaultAccess 'modules/vault-access.bicep' = if (!empty(existing.?keyVaultResourceId)) {
  scope: resourceGroup(vaultPlace[2], vaultPlace[4])
  name: 'rebuilder-vault-${resourceToken}'
  params: {
    vaultName: last(vaultPlace)
    principalId: who.outputs.principalId
    identityResourceId: identityResourceId
  }
}

// By whose names nobody else may set anything: it would be undone, or would undo the template.
var taken = filter(
  objectKeys(platformSettings),
  name =>
    startsWith(toLower(name), 'rebuilder_') || startsWith(toLower(name), 'azurewebjobsstorage') || contains(
      [
        'applicationinsights_authentication_string'
        'applicationinsights_connection_string'
        'azure_client_id'
        'functions_request_body_size_limit'
        'python_threadpool_thread_count'
      ],
      toLower(name)
    )
)

var telemetrySettings = {
  // The app sends its own telemetry, and tells the host so, which else would send each line again.
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
  // The host's own spans are mostly its looks at empty queues: docs/telemetry.md.
  OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
  OTEL_TRACES_SAMPLER_ARG: '0'
}

module app 'modules/function-app.bicep' = {
  scope: group
  name: 'rebuilder-app'
  params: {
    name: appName
    planName: names.?plan ?? '${abbreviations.webServerFarms}${suffix}'
    location: location
    tags: allTags
    serviceName: 'rebuilder'
    identityResourceId: identityResourceId
    storageAccountName: storage.outputs.name
    packageContainerName: packageContainerName
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    zoneRedundant: zoneRedundant && !contains(storageSkuName, 'ZRS')
      ? fail('zoneRedundant: storageSkuName has to be Standard_ZRS or Standard_GZRS, for the app cannot do without its storage.')
      : zoneRedundant
    siteUpdateStrategy: siteUpdateStrategy
    alwaysReady: concat(
      alwaysReadyInstanceCount == 0
        ? []
        : [
            {
              name: byQueue ? 'function:event_queued' : 'function:image_pushed'
              instanceCount: alwaysReadyInstanceCount
            }
          ],
      map(alwaysReady, entry => {
        name: 'function:${entry.functionName}'
        instanceCount: entry.instanceCount
      })
    )
    lock: lock
    diagnosticSettings: diagnosticSettings
    webhook: !byQueue
    subnetResourceId: privateNetwork ? privateNet!.outputs.appSubnetResourceId : ''
    closed: privateNetwork
    defaultSettings: telemetrySettings
    chosenSettings: union(
      empty(taken)
        ? platformSettings
        : fail('platformSettings: these are settings of the product or of the template: ${join(taken, ', ')}.'),
      appSettings
    )
    settings: {
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${who.outputs.clientId};Authorization=AAD'
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      AZURE_CLIENT_ID: who.outputs.clientId
      AzureWebJobsStorage__accountName: storage.outputs.name
      AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${environment().suffixes.storage}'
      AzureWebJobsStorage__clientId: who.outputs.clientId
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
    }
  }
  dependsOn: [
    access
  ]
}

// Whom messages go to, and what sources are shown, is for the app that rebuilds alone.
var pageSettings = intersection(objectKeys(appSettings), [
  'REBUILDER_BUILD_ATTEMPTS'
  'REBUILDER_MODE'
  'REBUILDER_REBUILD_FOR'
  'REBUILDER_TUNING'
])

// What shows the page looks and asks, as somebody else than what rebuilds: it has no role on any
// registry, and its host keeps what it writes in an account of its own.
module pageIdentity 'modules/identity.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page-identity'
  params: {
    name: pageIdentityName
    location: location
    tags: allTags
    lock: lock
  }
}

module whoShows 'modules/identity-details.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page-who'
  params: {
    name: pageIdentityName
  }
  dependsOn: [
    pageIdentity
  ]
}

module pageStorage 'modules/storage.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page-storage'
  params: {
    name: pageStorageName
    location: location
    tags: allTags
    principalId: whoShows!.outputs.principalId
    identityResourceId: pageIdentityResourceId
    skuName: storageSkuName
    closed: privateNetwork
    lock: lock
    diagnosticSettings: diagnosticSettings
    softDeleteDays: blobSoftDeleteDays
    // The host keeps its locks and keys in blobs.
    roleIds: [
      roles.storageBlobDataOwner
    ]
    containerNames: [
      packageContainerName
    ]
    queueNames: []
    tableNames: []
  }
}

module pageAccess 'modules/page-access.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page-access'
  params: {
    storageAccountName: storageName
    queueName: actQueueName
    policyContainerName: policyContainerName
    componentName: componentName
    principalId: whoShows!.outputs.principalId
    identityResourceId: pageIdentityResourceId
  }
  dependsOn: [
    monitoring
    storage
  ]
}

module page 'modules/function-app.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page'
  params: {
    name: pageName
    planName: dashboard.?planName ?? '${abbreviations.webServerFarms}${pageSuffix}'
    location: location
    tags: allTags
    serviceName: 'dashboard'
    identityResourceId: pageIdentityResourceId
    storageAccountName: pageStorage!.outputs.name
    packageContainerName: packageContainerName
    instanceMemoryMB: dashboard.?instanceMemoryMB ?? 512
    maximumInstanceCount: dashboard.?maximumInstanceCount ?? 5
    alwaysReady: []
    // What it shows is looked at now and then: nobody pays for two of it.
    zoneRedundant: false
    siteUpdateStrategy: siteUpdateStrategy
    lock: lock
    diagnosticSettings: diagnosticSettings
    webhook: false
    subnetResourceId: privateNetwork ? privateNet!.outputs.appSubnetResourceId : ''
    closed: privateNetwork
    defaultSettings: telemetrySettings
    chosenSettings: toObject(pageSettings, name => name, name => appSettings[name])
    settings: {
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${whoShows!.outputs.clientId};Authorization=AAD'
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      AZURE_CLIENT_ID: whoShows!.outputs.clientId
      AzureWebJobsDisableHomepage: 'true'
      AzureWebJobsStorage__accountName: pageStorage!.outputs.name
      AzureWebJobsStorage__blobServiceUri: 'https://${pageStorageName}.blob.${environment().suffixes.storage}'
      AzureWebJobsStorage__clientId: whoShows!.outputs.clientId
      AzureWebJobsStorage__credential: 'managedidentity'
      // An act is a few hundred bytes, a policy file that is tried out a few hundred thousand.
      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '1572864'
      OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: whoShows!.outputs.clientId
      PYTHON_THREADPOOL_THREAD_COUNT: '24'
      REBUILDER_APP: 'web'
      REBUILDER_ARM_ENDPOINT: environment().resourceManager
      REBUILDER_BASE_REGISTRIES: join(baseIds, ',')
      REBUILDER_SIGN_IN: 'easy-auth'
      REBUILDER_STORE: 'https://${storageName}.table.${environment().suffixes.storage}'
      REBUILDER_TASK_REGISTRIES: join(taskIds, ',')
    }
  }
  dependsOn: [
    pageAccess
  ]
}

module pageSignIn 'modules/page-sign-in.bicep' = if (hasPage) {
  scope: group
  name: 'rebuilder-page-sign-in'
  params: {
    appName: pageName
    clientId: dashboard.?clientId ?? ''
    tenantId: dashboard.?tenantId ?? tenant().tenantId
  }
  dependsOn: [
    page
  ]
}

module pageEndpoint 'modules/page-endpoint.bicep' = if (hasPage && privateNetwork) {
  scope: group
  name: 'rebuilder-page-endpoint'
  params: {
    endpointPrefix: '${abbreviations.networkPrivateEndpoints}${inVnet}-'
    location: location
    tags: allTags
    appResourceId: page!.outputs.resourceId
    subnetResourceId: privateNet!.outputs.endpointSubnetResourceId
    networkResourceId: privateNet!.outputs.resourceId
    linkName: vnetName
    zoneResourceId: network.?privateDnsZoneResourceIds.?sites ?? ''
  }
}

var actionGroupName = names.?actionGroup ?? '${abbreviations.insightsActionGroups}${suffix}'
var makesActionGroup = alerts && !empty(alertEmails)
var actionGroupResourceId = makesActionGroup
  ? empty(existing.?actionGroupResourceId)
      ? resourceId(subscription().subscriptionId, groupName, 'Microsoft.Insights/actionGroups', actionGroupName)
      : fail('alertEmails are of the action group that the template makes; existing.actionGroupResourceId has its own.')
  : existing.?actionGroupResourceId ?? ''

module actionGroup 'modules/action-group.bicep' = if (makesActionGroup) {
  scope: group
  name: 'rebuilder-action-group'
  params: {
    name: actionGroupName
    tags: allTags
    lock: lock
    emails: alertEmails
  }
}

module costs 'modules/budget.bicep' = if (budget != null) {
  scope: group
  name: 'rebuilder-budget'
  params: {
    // Budgets have no tags: by this name tools/remove.py finds it.
    name: 'acr-rebuilder-${resourceToken}'
    amount: budget.?amount ?? 1
    startDate: budget.?startDate ?? ''
    actionGroupResourceId: actionGroupResourceId
  }
  dependsOn: [
    actionGroup
  ]
}

module logAlerts 'modules/alerts.bicep' = if (alerts) {
  scope: group
  name: 'rebuilder-alerts'
  params: {
    namePrefix: alertPrefix
    location: location
    tags: allTags
    workspaceResourceId: monitoring.outputs.workspaceResourceId
    componentResourceId: resourceId(
      subscription().subscriptionId,
      groupName,
      'Microsoft.Insights/components',
      componentName
    )
    actionGroupResourceId: actionGroupResourceId
    staleMinutes: staleMinutes
    silenceMinutes: silenceMinutes
  }
  dependsOn: [
    actionGroup
  ]
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
      lock: lock
      diagnosticSettings: diagnosticSettings
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
      lock: lock
      diagnosticSettings: diagnosticSettings
    }
    // The group of the product may be one of these: the account, which is in it, comes first.
    dependsOn: [
      storage
    ]
  }
]

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
var topicPlaces = concat(pushTopicPlaces, taskTopicPlaces)

module topicAlerts 'modules/topic-alerts.bicep' = [
  for place in (alerts ? topicPlaces : []): {
    // Beside the product, for whose environment they are: another one has its own of the same topic.
    scope: resourceGroup(
      place.subscriptionId,
      toLower(place.subscriptionId) == toLower(subscription().subscriptionId) ? group.name : place.resourceGroupName
    )
    name: 'rebuilder-alerts-${uniqueString(resourceToken, place.subscriptionId, place.resourceGroupName, place.name)}'
    params: {
      namePrefix: alertPrefix
      tags: allTags
      topicResourceId: resourceId(
        place.subscriptionId,
        place.resourceGroupName,
        'Microsoft.EventGrid/systemTopics',
        place.name
      )
      actionGroupResourceId: actionGroupResourceId
    }
    dependsOn: [
      actionGroup
      pushTopics
      taskTopics
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

module pushQueue 'modules/queue-access.bicep' = [
  for (place, index) in bases: if (byQueue) {
    scope: group
    name: 'rebuilder-queue-${uniqueString(place.resourceId)}'
    params: {
      storageAccountName: storageName
      queueName: eventQueueName
      principalId: pushTopics[index].outputs.principalId
      topicKey: place.resourceId
    }
    dependsOn: [
      storage
    ]
  }
]

module taskQueue 'modules/queue-access.bicep' = [
  for (place, index) in taskGroups: if (byQueue) {
    scope: group
    name: 'rebuilder-queue-${uniqueString(place.subscriptionId, place.resourceGroupName)}'
    params: {
      storageAccountName: storageName
      queueName: eventQueueName
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

@description('Resource group of the product.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app.')
output FUNCTION_APP_NAME string = app.outputs.name

@description('Resource id of the function app.')
output FUNCTION_APP_RESOURCE_ID string = app.outputs.resourceId

@description('Resource id of the identity of the function app.')
output IDENTITY_RESOURCE_ID string = identityResourceId

@description('Object id of the identity of the function app.')
output IDENTITY_PRINCIPAL_ID string = who.outputs.principalId

@description('Client id of the identity of the function app.')
output IDENTITY_CLIENT_ID string = who.outputs.clientId

@description('Resource id of the storage account.')
output STORAGE_ACCOUNT_RESOURCE_ID string = storage.outputs.resourceId

@description('Container of the dead letters of Event Grid.')
output DEAD_LETTER_CONTAINER_NAME string = deadLetterContainerName

@description('How events reach the app: webhook or queue.')
output EVENT_DELIVERY string = eventDelivery

@description('Resource id of the Log Analytics workspace.')
output WORKSPACE_RESOURCE_ID string = monitoring.outputs.workspaceResourceId

@description('Resource id of the Application Insights component.')
output APPLICATION_INSIGHTS_RESOURCE_ID string = monitoring.outputs.resourceId

@description('Resource id of the action group; empty without one.')
output ACTION_GROUP_RESOURCE_ID string = actionGroupResourceId

@description('Resource ids of the custom roles.')
output ROLE_DEFINITION_RESOURCE_IDS string[] = [
  baseRole.outputs.resourceId
  taskRole.outputs.resourceId
]

@description('Resource id of the virtual network; empty without one.')
output VIRTUAL_NETWORK_RESOURCE_ID string = privateNetwork ? privateNet!.outputs.resourceId : ''

@description('Resource id of the subnet of the function app; empty without one.')
output APP_SUBNET_RESOURCE_ID string = privateNetwork ? privateNet!.outputs.appSubnetResourceId : ''

@description('Resource id of the subnet of the private endpoints; empty without one.')
output ENDPOINT_SUBNET_RESOURCE_ID string = privateNetwork ? privateNet!.outputs.endpointSubnetResourceId : ''

@description('Name of the function app of the page; empty without one.')
output DASHBOARD_APP_NAME string = hasPage ? page!.outputs.name : ''

@description('Address of the page; empty without one.')
output DASHBOARD_URL string = hasPage ? 'https://${page!.outputs.hostName}' : ''

@description('Object id of the identity of the page: the subject of the federated credential of the app registration; empty without a page.')
output DASHBOARD_PRINCIPAL_ID string = hasPage ? whoShows!.outputs.principalId : ''

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
  eventQueueName: { value: byQueue ? eventQueueName : '' }
  pushTopics: { value: pushTopicPlaces }
  taskTopics: { value: taskTopicPlaces }
}
