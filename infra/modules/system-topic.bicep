import { diagnosticSettingType, diagnosticsOf, lockType } from 'types.bicep'

metadata name = 'System topic'
metadata description = 'The events of one source: a topic that was not there, or the one that was. Azure allows one for each source.'

@description('Required. Name of the topic.')
@minLength(3)
@maxLength(50)
param name string

@description('Required. Whether it is there already.')
param isExisting bool

@description('Required. Region: that of the source; global for resource groups and subscriptions.')
param location string

@description('Required. Tags.')
param tags object

@description('Required. Resource id of the source.')
param sourceResourceId string

@description('Required. Kind of the source.')
@allowed(['Microsoft.ContainerRegistry.Registries', 'Microsoft.Resources.ResourceGroups'])
param topicType string

@description('Required. The lock.')
param lock lockType

@description('Required. Where logs and metrics go.')
@maxLength(5)
param diagnosticSettings diagnosticSettingType[]

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (!isExisting) {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    source: sourceResourceId
    topicType: topicType
  }
}

resource topicLock 'Microsoft.Authorization/locks@2020-05-01' = if (!isExisting && (lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: topic
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

#disable-next-line use-recent-api-versions // the only one that knows groups of categories
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = [
  for setting in (isExisting ? [] : diagnosticSettings): {
    name: setting.?name ?? 'rebuilder'
    scope: topic
    properties: diagnosticsOf(setting)
  }
]

// A topic that is made or not, read by one that does not care.
module who 'topic-identity.bicep' = {
  name: 'rebuilder-who-${uniqueString(deployment().name, name)}'
  params: {
    name: name
  }
  dependsOn: [
    topic
  ]
}

@description('Name of the topic.')
output name string = name

@description('Object id of the identity of the topic.')
output principalId string = who.outputs.principalId
