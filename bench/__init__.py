"""Measurements that a person starts; each ends with one line of JSON."""

from __future__ import annotations
