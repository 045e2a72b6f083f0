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

  @description('Optional. The zone privatelink.vaultcore, of `existing.keyVaultResourceId`.')
  vault: string?

  @description('Optional. The zone privatelink.azurewebsites, of the page of `dashboard`.')
  sites: string?
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

  @description('Optional. Resource id of the key vault whose secrets app settings refer to, or name the addresses of: the identity gets Key Vault Secrets User on it. It has to go by Azure roles. With `privateNetwork` it gets a private endpoint in the network.')
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
@description('The operators\' page: a second function app, which looks and asks and starts nothing.')
type dashboardType = {
  @description('Required. Application (client) id of the app registration in Entra that people sign in to.')
  @minLength(36)
  @maxLength(36)
  clientId: string

  @description('Optional. Tenant whose people may sign in. By default that of the subscription.')
  @minLength(36)
  @maxLength(36)
  tenantId: string?

  @description('Optional. Name of the function app, unique in Azure.')
  @minLength(2)
  @maxLength(60)
  name: string?

  @description('Optional. Name of the plan.')
  @minLength(1)
  @maxLength(60)
  planName: string?

  @description('Optional. Name of the user-assigned identity.')
  @minLength(3)
  @maxLength(128)
  identityName: string?

  @description('Optional. Name of the storage account of its Functions host, unique in Azure.')
  @minLength(3)
  @maxLength(24)
  storageAccountName: string?

  @description('Optional. Memory of an instance in MB. By default 512.')
  instanceMemoryMB: (512 | 2048 | 4096)?

  @description('Optional. How many instances there may be. By default 5.')
  @minValue(1)
  @maxValue(1000)
  maximumInstanceCount: int?
}

@export()
@sealed()
@description('A budget of the resource group of the product.')
type budgetType = {
  @description('Required. What a month may cost, in the currency of the bill.')
  @minValue(1)
  @maxValue(1000000)
  amount: int

  @description('Required. The first day of a month, as `2026-12-01`: of the one in which the budget is made, or a later one. Azure does not let it be changed afterwards, so leave it as it is.')
  @minLength(10)
  @maxLength(10)
  startDate: string
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
  @description('Optional. How many runs a task gets on the same digests before it is given up; 1 to 10. By default `3`.')
  REBUILDER_BUILD_ATTEMPTS: string?

  @description('Optional. A JSON object of those whom messages go to (docs/messages.md), by the names that the policy file calls them; in Azure a Key Vault reference, or the address of a secret, which the app reads itself. By default none.')
  REBUILDER_DESTINATIONS: string?

  @description('Optional. `observe` runs everything and starts nothing: each decision is recorded as `would-rebuild`; else `act`. By default `act`.')
  REBUILDER_MODE: string?

  @description('Optional. How long ACR\'s own base image trigger is waited for, where it is on and could see the dependency; 0 to 3600. By default `120`.')
  REBUILDER_NATIVE_WAIT_SECONDS: string?

  @description('Optional. The foreign registries that are polled, separated by commas or whitespace; `*` for any. By default `docker.io, mcr.microsoft.com, ghcr.io, quay.io`.')
  REBUILDER_POLL_HOSTS: string?

  @description('Optional. For which images a task is rebuilt: `all` that its build reads, `runtime`: the base of its image only, `trigger`: what its base image trigger asks for. By default `all`.')
  REBUILDER_REBUILD_FOR: string?

  @description('Optional. A JSON object of hosts (`HOST` or `HOST:PORT`, one entry each), each with a token or `{"username": "...", "password": "..."}`; in Azure a Key Vault reference, or the address of a secret, `https://VAULT.vault.azure.net/secrets/NAME`, which the app reads itself. By default none.')
  REBUILDER_SOURCE_CREDENTIALS: string?

  @description('Optional. Hosts that build contexts may be read from, separated by commas or whitespace: `HOST`, `HOST:PORT`, `*.DOMAIN`; `HOST=github` is GitHub Enterprise (Server, or Cloud with data residency). By default `github.com, dev.azure.com, *.visualstudio.com, *.azurecr.io`.')
  REBUILDER_SOURCE_HOSTS: string?

  @description('Optional. More such hosts, whose addresses may be private. By default none.')
  REBUILDER_SOURCE_PRIVATE_HOSTS: string?

  @description('Optional. Tools that are a reason to run a task again although it makes no image of them, each for one task: `REGISTRY/TASK=IMAGE`, separated by commas or whitespace. By default none.')
  REBUILDER_TOOLS: string?

  @description('Optional. What few need to change: `FIELD=VALUE; FIELD=VALUE`, with the fields of the table in docs/settings.md. By default none.')
  REBUILDER_TUNING: string?
}
