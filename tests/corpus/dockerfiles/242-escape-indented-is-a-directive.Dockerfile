   # escape=`
FROM `
  python:3.12-windowsservercore
