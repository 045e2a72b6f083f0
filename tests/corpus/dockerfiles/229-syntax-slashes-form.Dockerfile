//syntax=contoso.azurecr.io/frontends/pkl:1
module image
base = "alpine:3.20"
