"""What ACR Tasks does with a run: fetch the context, build, push, record dependencies."""

from __future__ import annotations
