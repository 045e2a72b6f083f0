"""The product's tests: unit, contract, localcloud, runtime, e2e."""

from __future__ import annotations
