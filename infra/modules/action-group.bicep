import { lockType } from 'types.bicep'

metadata name = 'Action group'
metadata description = 'Who is told.'

@description('Required. Name of the group.')
@minLength(1)
@maxLength(260)
param name string

@description('Required. Tags.')
param tags object

@description('Required. The lock.')
param lock lockType

@description('Required. Addresses that get an e-mail.')
@minLength(1)
@maxLength(20)
param emails string[]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    emailReceivers: [
      for (email, index) in emails: {
        emailAddress: email
        name: 'email-${index}'
        useCommonAlertSchema: true
      }
    ]
    enabled: true
    groupShortName: 'rebuilder'
  }
}

resource resourceLock 'Microsoft.Authorization/locks@2020-05-01' = if ((lock.?kind ?? 'None') == 'CanNotDelete') {
  name: '${lock.?name ?? 'lock-'}${name}'
  scope: group
  properties: {
    level: 'CanNotDelete'
    notes: lock.?notes ?? 'ACR Rebuilder needs it.'
  }
}

@description('Name of the action group.')
output name string = group.name

@description('Resource id of the action group.')
output resourceId string = group.id
