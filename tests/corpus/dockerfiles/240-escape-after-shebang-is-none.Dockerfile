#!/usr/bin/env docker
# escape=`
FROM `
  mcr.microsoft.com/windows/nanoserver:ltsc2022
