metadata name = 'Types'
metadata description = 'What the templates of ACR Rebuilder have in common.'

@export()
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

  @description('Optional. Tier of a registry that the template makes. By default Basic, or Premium where private endpoints are asked for.')
  sku: 'Basic' | 'Standard' | 'Premium'?

  @description('Optional. Whether the registry goes by Entra repository permissions (ABAC). By default not.')
  abac: bool?

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
@description('The private network.')
type networkType = {
  @description('Optional. Addresses of the virtual network that the template makes. By default 10.90.0.0/24.')
  addressPrefix: string?

  @description('Optional. Addresses of the subnet of the function app, at least a /27. By default 10.90.0.0/26.')
  appSubnetPrefix: string?

  @description('Optional. Addresses of the subnet of the private endpoints. By default 10.90.0.64/26.')
  endpointSubnetPrefix: string?
}

@export()
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
