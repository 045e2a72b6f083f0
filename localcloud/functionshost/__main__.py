"""A Functions host in a process of its own, as an instance of a function app is.

`python -m localcloud.functionshost FOLDER --data FOLDER`: the settings are the environment, as in
Azure; the keys come as a line of JSON on standard input; a line of JSON on standard output tells
where it listens and what it runs. It ends when standard input does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from localcloud.functionshost.host import FunctionsHost


def main() -> int:
    """Run until standard input ends."""
    parser = argparse.ArgumentParser(description="Run one function app.")
    parser.add_argument("folder", type=Path, help="the app: function_app.py and host.json")
    parser.add_argument("--data", type=Path, required=True, help="where timers remember")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("azure", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    keys = json.loads(sys.stdin.readline())
    host = FunctionsHost(options.folder, dict(os.environ), data=options.data)
    host.master_key, host.function_key = keys["master"], keys["function"]
    host.eventgrid_key = keys["eventgrid"]
    with host:
        told = {
            "url": host.url,
            "state": host.state,
            "errors": host.errors,
            "functions": {
                name: [dict(binding) for binding in function.bindings]
                for name, function in host.functions.items()
            },
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
