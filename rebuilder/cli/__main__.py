"""`python -m rebuilder.cli`."""

from __future__ import annotations

import sys

from rebuilder.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
