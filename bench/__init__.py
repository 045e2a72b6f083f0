"""Measurements of the product, each ending with one line of JSON."""

from __future__ import annotations
