"""What the product knows: references, events, tasks, decisions, rebuilds. No I/O, no clock."""

from __future__ import annotations
