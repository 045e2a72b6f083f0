"""A Functions host in a process of its own, whose clock may be wrong.

`python -P host.py FOLDER DATA`, with FOLDER first on PYTHONPATH: it runs the code that is there,
which may be an older version's, and so uses nothing that this version's tests have. It ends when
standard input does. CHAOS_CLOCK_SECONDS tells how far ahead (or, below 0, behind) its clock is;
nothing but this file knows it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path


def main() -> None:
    """Run until standard input ends."""
    folder, data = map(Path, sys.argv[1:])
    keys = json.loads(sys.stdin.readline())
    wrong = float(os.environ.pop("CHAOS_CLOCK_SECONDS", "0"))
    if wrong:
        import time_machine  # noqa: PLC0415 - clocks that are right are left alone

        time_machine.travel(datetime.now(UTC) + timedelta(seconds=wrong), tick=True).start()
    from localcloud.functionshost import FunctionsHost, queues  # noqa: PLC0415 - on that clock

    # A message of a host that was killed comes again after ten minutes; nobody waits for that here.
    queues.HIDE, queues.RENEW = timedelta(seconds=40), timedelta(seconds=5)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("azure", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    host = FunctionsHost(folder, dict(os.environ), data=data)
    host.master_key, host.eventgrid_key = keys["master"], keys["eventgrid"]
    with host:
        import rebuilder  # noqa: PLC0415 - whichever is first on the path

        told = {
            "url": host.url,
            "errors": host.errors,
            "functions": sorted(host.functions),
            "code": str(Path(rebuilder.__file__).resolve().parent.parent),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
        # Nobody is there any more who waits for what runs, or for a store that does not answer.
        os._exit(0)


if __name__ == "__main__":
    main()
