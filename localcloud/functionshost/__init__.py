"""An Azure Functions host for Python apps: Microsoft's worker code behind the host's own rules.

Each rule is written down with its source in the tests of tests/runtime.
"""

from __future__ import annotations

from localcloud.functionshost.host import FunctionsHost, Invocation

__all__ = ["FunctionsHost", "Invocation"]
