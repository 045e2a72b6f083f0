"""Convergence: the real use cases and stores, everything around them simulated and seeded."""

from __future__ import annotations
