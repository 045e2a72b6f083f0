"""What the product does, one folder per feature."""

from __future__ import annotations
