"""What the product does, one module per step: accept, plan, start, track, and tell."""

from __future__ import annotations
