metadata name = 'Budget'
metadata description = 'Tells that the resource group costs more than it should. It stops nothing.'

@description('Required. Name of the budget.')
@minLength(1)
@maxLength(63)
param name string

@description('Required. What a month may cost.')
@minValue(1)
@maxValue(1000000)
param amount int

@description('Required. The first day of the month that it begins in.')
param startDate string

@description('Required. Resource id of the action group that is told; empty for the owners of the subscription.')
param actionGroupResourceId string

var told = empty(actionGroupResourceId)
  ? { contactEmails: [], contactRoles: ['Owner'] }
  : { contactEmails: [], contactGroups: [actionGroupResourceId] }

resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: name
  properties: {
    amount: amount
    category: 'Cost'
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: '${startDate}T00:00:00Z'
    }
    notifications: {
      nearly: union(told, {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
      })
      reached: union(told, {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Actual'
      })
      foreseen: union(told, {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
      })
    }
  }
}

@description('Resource id of the budget.')
output resourceId string = budget.id
