metadata name = 'Sign-in of the page'
metadata description = 'App Service authentication with Entra before the whole app. There is no secret: the identity of the app vouches for it.'

@description('Required. Name of the function app.')
@minLength(2)
@maxLength(60)
param appName string

@description('Required. Application (client) id of the app registration.')
@minLength(36)
@maxLength(36)
param clientId string

@description('Required. Tenant whose people may sign in.')
@minLength(36)
@maxLength(36)
param tenantId string

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource signIn 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: true
    }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: clientId
          // An app setting of this name holds the client id of the identity, not a secret.
          clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            'api://${clientId}'
          ]
          defaultAuthorizationPolicy: {
            // People come by the page's own sign-in, and not by another app's token.
            allowedApplications: [
              clientId
            ]
          }
        }
      }
    }
  }
}
