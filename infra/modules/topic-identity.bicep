metadata name = 'Identity of a system topic'
metadata description = 'Who a system topic that is there is. Read in a deployment of its own: a condition of the topic does not reach here.'

@description('Required. Name of the topic.')
@minLength(3)
@maxLength(50)
param name string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: name
}

// One without an identity ends as "property 'identity' doesn't exist": docs/operations.md.
@description('Object id of the identity of the topic.')
output principalId string = topic.identity.principalId
