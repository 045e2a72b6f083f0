{"syntax": "contoso.azurecr.io/frontends/json:2", "base": "alpine:3.20", "packages": ["curl"]}
