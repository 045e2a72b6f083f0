"""Registries that send no events: Docker Hub, MCR, GHCR, Quay and any other of OCI."""

from __future__ import annotations
