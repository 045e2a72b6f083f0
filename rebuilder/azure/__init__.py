"""Azure behind the ports: ARM, registries, identity, Storage queues and tables."""

from __future__ import annotations
