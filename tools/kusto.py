"""Install Kusto's own parser into .tools/kusto, as tools/kusto/package-lock.json pins it."""

from __future__ import annotations

import sys

from azurite import install

if __name__ == "__main__":
    sys.exit(install("kusto"))
