metadata name = 'Types'
metadata description = 'What the templates of ACR Rebuilder have in common.'

@export()
@sealed()
@description('A container registry that takes part.')
type registryType = {
  @description('Required. Name of the registry.')
  @minLength(5)
  @maxLength(50)
  name: string

  @description('Required. What it is to the product: `base`: its pushes start rebuilds; `tasks`: its tasks are rebuilt; `both`.')
  use: 'base' | 'tasks' | 'both'

  @description('Optional. Resource group of the registry. By default the resource group of the product.')
  @minLength(1)
  @maxLength(90)
  resourceGroupName: string?

  @description('Optional. Subscription of the registry. By default the subscription of the deployment.')
  @minLength(36)
  @maxLength(36)
  subscriptionId: string?

  @description('Optional. Region of the registry. By default that of the deployment. A system topic has to be made where its registry is.')
  location: string?

  @description('Optional. Whether the template makes the registry. By default it is there already.')
  create: bool?

  @description('Optional. Tier of a registry that the template makes. By default Basic; with `privateNetwork` Premium, and nothing else is allowed then: only Premium has private endpoints.')
  sku: 'Basic' | 'Standard' | 'Premium'?

  @description('Optional. Whether the registry goes by Entra repository permissions (ABAC). By default not.')
  abac: bool?

  @description('Optional. Whether the registry gets a private endpoint in the network of `privateNetwork`; it has to be Premium. By default those do that the template makes.')
  privateEndpoint: bool?

  @description('Optional. Name of the system topic that the registry has already, in its resource group. Azure allows one for each registry. It needs a system-assigned identity. By default the template makes one.')
  @minLength(3)
  @maxLength(50)
  topicName: string?

  @description('Optional. Name of the system topic that the resource group of the registry has already. It needs a system-assigned identity. By default the template makes one, for registries that have tasks.')
  @minLength(3)
  @maxLength(50)
  groupTopicName: string?
}

@export()
@sealed()
@description('A system topic.')
type topicType = {
  @description('Required. Name of the topic.')
  @minLength(3)
  @maxLength(50)
  name: string

  @description('Required. Its resource group.')
  @minLength(1)
  @maxLength(90)
  resourceGroupName: string

  @description('Required. Its subscription.')
  @minLength(36)
  @maxLength(36)
  subscriptionId: string
}

@export()
@sealed()
@description('The private network: addresses of one that the template makes, or subnets that are there.')
type networkType = {
  @description('Optional. Addresses of the virtual network that the template makes. By default 10.90.0.0/24.')
  addressPrefix: string?

  @description('Optional. Addresses of the subnet of the function app, at least a /27. By default 10.90.0.0/26.')
  appSubnetPrefix: string?

  @description('Optional. Addresses of the subnet of the private endpoints. By default 10.90.0.64/26.')
  endpointSubnetPrefix: string?

  @description('Optional. Resource id of a subnet for the function app that is there: at least a /27, delegated to Microsoft.App/environments, with the service endpoint Microsoft.Web. Needs `endpointSubnetResourceId`.')
  appSubnetResourceId: string?

  @description('Optional. Resource id of a subnet for the private endpoints that is there, in the same virtual network or one that is peered with it.')
  endpointSubnetResourceId: string?

  @description('Optional. Private DNS zones that are there. By default the template makes each and links it.')
  privateDnsZoneResourceIds: dnsZonesType?
}

@export()
@sealed()
@description('Resource ids of private DNS zones that are there and linked to the virtual network.')
type dnsZonesType = {
  @description('Optional. The zone privatelink.blob.')
  blob: string?

  @description('Optional. The zone privatelink.queue.')
  queue: string?

  @description('Optional. The zone privatelink.table.')
  table: string?

  @description('Optional. The zone privatelink.azurecr.')
  registry: string?
}

@export()
@sealed()
@description('What is there already, and is used instead of one that the template makes. It stays when the product is removed.')
type existingType = {
  @description('Optional. Resource id of a user-assigned identity that the function app is.')
  identityResourceId: string?

  @description('Optional. Resource id of the Log Analytics workspace that logs go to.')
  workspaceResourceId: string?

  @description('Optional. Resource id of the action group that alerts tell. `alertEmails` must be empty then.')
  actionGroupResourceId: string?

  @description('Optional. Resource id of the key vault whose secrets app settings refer to: the identity gets Key Vault Secrets User on it. It has to go by Azure roles.')
  keyVaultResourceId: string?
}

@export()
@sealed()
@description('Names of what the template makes. By default they come from the name of the environment.')
type namesType = {
  @description('Optional. Name of the user-assigned identity.')
  @minLength(3)
  @maxLength(128)
  identity: string?

  @description('Optional. Name of the storage account, unique in Azure.')
  @minLength(3)
  @maxLength(24)
  storageAccount: string?

  @description('Optional. Name of the function app, unique in Azure.')
  @minLength(2)
  @maxLength(60)
  functionApp: string?

  @description('Optional. Name of the plan.')
  @minLength(1)
  @maxLength(60)
  plan: string?

  @description('Optional. Name of the Log Analytics workspace.')
  @minLength(4)
  @maxLength(63)
  workspace: string?

  @description('Optional. Name of the Application Insights component.')
  @minLength(1)
  @maxLength(260)
  applicationInsights: string?

  @description('Optional. Name of the virtual network; those of what is in it begin with it.')
  @minLength(2)
  @maxLength(40)
  virtualNetwork: string?

  @description('Optional. Name of the action group.')
  @minLength(1)
  @maxLength(260)
  actionGroup: string?

  @description('Optional. What names of alerts begin with.')
  @minLength(1)
  @maxLength(100)
  alertPrefix: string?
}

@export()
@sealed()
@description('A lock, as Azure Verified Modules have it.')
type lockType = {
  @description('Optional. `CanNotDelete`, or `None`. ReadOnly is none of them: it would keep Event Grid from being subscribed and the package from being published.')
  kind: ('CanNotDelete' | 'None')?

  @description('Optional. What names of locks begin with; the name of the resource follows. By default `lock-`.')
  @maxLength(40)
  name: string?

  @description('Optional. Why it is locked.')
  @maxLength(512)
  notes: string?
}

@export()
@sealed()
@description('Where logs and metrics of resources go, as Azure Verified Modules have it.')
type diagnosticSettingType = {
  @description('Optional. Name of the setting. By default `rebuilder`.')
  @minLength(1)
  @maxLength(260)
  name: string?

  @description('Optional. Resource id of a Log Analytics workspace.')
  workspaceResourceId: string?

  @description('Optional. Resource id of a storage account.')
  storageAccountResourceId: string?

  @description('Optional. Resource id of the authorization rule of an event hubs namespace.')
  eventHubAuthorizationRuleResourceId: string?

  @description('Optional. Name of the event hub.')
  eventHubName: string?

  @description('Optional. Groups of logs. By default `allLogs`; none for an empty list.')
  logCategoryGroups: string[]?

  @description('Optional. Metrics. By default `AllMetrics`; none for an empty list.')
  metricCategories: string[]?
}

@export()
@description('The properties of a diagnostic setting.')
func diagnosticsOf(setting diagnosticSettingType) object => {
  workspaceId: setting.?workspaceResourceId
  storageAccountId: setting.?storageAccountResourceId
  eventHubAuthorizationRuleId: setting.?eventHubAuthorizationRuleResourceId
  eventHubName: setting.?eventHubName
  logs: map(setting.?logCategoryGroups ?? ['allLogs'], group => {
    categoryGroup: group
    enabled: true
  })
  metrics: map(setting.?metricCategories ?? ['AllMetrics'], category => {
    category: category
    enabled: true
  })
}

@export()
@sealed()
@description('A function for which instances wait.')
type alwaysReadyType = {
  @description('Required. Name of the function, for example `plan_rebuilds`.')
  @minLength(1)
  @maxLength(128)
  functionName: string

  @description('Required. How many instances.')
  @minValue(1)
  @maxValue(20)
  instanceCount: int
}

@export()
@sealed()
@description('A sample task, to see the product work.')
type sampleTaskType = {
  @description('Required. Name of the registry, among `registries`, that the task is made in.')
  registryName: string

  @description('Required. Name of the registry, among `registries`, that the base image is in.')
  baseRegistryName: string

  @description('Optional. Name of the task. By default taskhelloworld.')
  @minLength(5)
  @maxLength(50)
  name: string?

  @description('Optional. Build context. By default the sample of the tutorial of Microsoft.')
  contextPath: string?

  @description('Optional. Dockerfile in the context. By default Dockerfile-app.')
  dockerFilePath: string?

  @description('Optional. Image that the task builds. By default helloworld:{{.Run.ID}}.')
  imageName: string?
}

@export()
@sealed()
@description('Where a registry is.')
type placeType = {
  @description('Required. Name of the registry.')
  @minLength(5)
  @maxLength(50)
  name: string

  @description('Required. Its resource group.')
  @minLength(1)
  @maxLength(90)
  resourceGroupName: string

  @description('Required. Its subscription.')
  @minLength(36)
  @maxLength(36)
  subscriptionId: string
}

@export()
@sealed()
@secure()
@description('App settings of the product that may be chosen. What the template sets itself is not among them.')
type appSettingsType = {
  @description('Optional. How many requests of one instance to ARM are under way in a subscription; 1 to 64. By default `8`.')
  REBUILDER_ARM_CONCURRENCY: string?

  @description('Optional. How many runs a second are scheduled in a subscription, by all instances together; 1 to 1000. By default `10`.')
  REBUILDER_ARM_WRITES_PER_SECOND: string?

  @description('Optional. How many may be scheduled at once after a quiet time; 1 to 10000. By default `200`.')
  REBUILDER_ARM_WRITE_BURST: string?

  @description('Optional. How many runs a task gets on the same digests before it is given up; 1 to 10. By default `3`.')
  REBUILDER_BUILD_ATTEMPTS: string?

  @description('Optional. When dead letters are collected, as NCRONTAB, in UTC. By default `30 */5 * * * *`.')
  REBUILDER_DEAD_LETTER_SCHEDULE: string?

  @description('Optional. Those of either that are GitHub Enterprise (Server, or Cloud with data residency). By default none.')
  REBUILDER_GITHUB_HOSTS: string?

  @description('Optional. How long pushes, decisions and what else is over are kept; of each task the newest 20 rebuilds and the newest success stay; 8 to 3650. By default `90`.')
  REBUILDER_HISTORY_DAYS: string?

  @description('Optional. How old the index may be before decisions and `explain` say so; 1 to 8760. By default `24`.')
  REBUILDER_INDEX_MAX_AGE_HOURS: string?

  @description('Optional. How long a claimed rebuild keeps everybody else off; 75 to 3600. By default `90`.')
  REBUILDER_LEASE_SECONDS: string?

  @description('Optional. How long a message is put back while a service is out of order; then it is a dead letter; 1 to 168. By default `24`.')
  REBUILDER_MESSAGE_HOURS: string?
  REBUILDER_MODE: string?

  @description('Optional. How long ACR\'s own base image trigger is waited for, where it is on and could see the dependency; 0 to 3600. By default `120`.')
  REBUILDER_NATIVE_WAIT_SECONDS: string?

  @description('Optional. The foreign registries that are polled, by commas or white space; `*` for any. By default `docker.io, mcr.microsoft.com, ghcr.io, quay.io`.')
  REBUILDER_POLL_HOSTS: string?

  @description('Optional. How often one foreign image is looked at, at most; 5 to 1440. By default `30`.')
  REBUILDER_POLL_MINUTES: string?

  @description('Optional. When base images of foreign registries are looked at, as NCRONTAB, in UTC. By default `0 */5 * * * *`.')
  REBUILDER_POLL_SCHEDULE: string?

  @description('Optional. After so long in ACR\'s queue a run is reported: no agent takes it; 1 to 1440. By default `30`.')
  REBUILDER_QUEUED_MINUTES: string?

  @description('Optional. For which images a task is rebuilt: `all` that its build reads, `runtime`: the base of its image only, `trigger`: what its base image trigger asks for. By default `all`.')
  REBUILDER_REBUILD_FOR: string?

  @description('Optional. When every task is read again for the index of dependencies, as NCRONTAB, in UTC. By default `0 0 */6 * * *`.')
  REBUILDER_REFRESH_SCHEDULE: string?

  @description('Optional. The same after a build that failed itself. By default `300`.')
  REBUILDER_RETRY_BUILD_SECONDS: string?

  @description('Optional. How long after a failure of ACR\'s own (Error, Timeout) the next attempt begins; each further wait is twice as long, a day at most. By default `60`.')
  REBUILDER_RETRY_SECONDS: string?

  @description('Optional. A JSON object of hosts (`HOST` or `HOST:PORT`, one entry each), each with a token or `{"username": "...", "password": "..."}`; in Azure a Key Vault reference. By default none.')
  REBUILDER_SOURCE_CREDENTIALS: string?

  @description('Optional. Hosts that build contexts may be read from, by commas or white space: `HOST`, `HOST:PORT`, `*.DOMAIN`. By default `github.com, dev.azure.com, *.visualstudio.com, *.azurecr.io`.')
  REBUILDER_SOURCE_HOSTS: string?

  @description('Optional. More such hosts, whose addresses may be private. By default none.')
  REBUILDER_SOURCE_PRIVATE_HOSTS: string?

  @description('Optional. After so long a sweep has a task that was left alone (disabled, say) decided about anew; 5 to 10080. By default `60`.')
  REBUILDER_SWEEP_AGAIN_MINUTES: string?

  @description('Optional. After so long a sweep takes a message for lost, and plans again; 1 to 1440. By default `15`.')
  REBUILDER_SWEEP_PATIENCE_MINUTES: string?

  @description('Optional. How many requests to ARM one sweep may lead to; the next one goes on from there. By default `500`.')
  REBUILDER_SWEEP_READS: string?

  @description('Optional. When tags are compared with what was built on them, as NCRONTAB, in UTC. By default `0 */15 * * * *`.')
  REBUILDER_SWEEP_SCHEDULE: string?

  @description('Optional. Tools that are a reason to run a task again although it makes no image of them, each for one task: `REGISTRY/TASK=IMAGE`, by commas or white space. By default none.')
  REBUILDER_TOOLS: string?

  @description('Optional. How often a run is looked at, and a waiting build is tried again (what waits for a long run less often, every five minutes at least); 1 to 3600. By default `15`.')
  REBUILDER_TRACK_SECONDS: string?
}
