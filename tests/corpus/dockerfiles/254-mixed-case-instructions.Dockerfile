From golang:1.22 As build
Run go build
FroM scratch
Copy --from=build /a /a
