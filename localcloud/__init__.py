"""Azure's side of the product on one machine: servers that speak the real wire formats.

Nothing in `rebuilder` or `functions` imports this package.
"""

from __future__ import annotations
