"""What is looked at before the functions are there; it imports what that needs, and no more."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from rebuilder.errors import NewerStore, RebuilderError
from rebuilder.settings import SQLITE, Settings

log = logging.getLogger(__name__)


def refuse_newer_store(env: Mapping[str, str] = os.environ) -> None:
    """See at start that what is kept is not of a newer version of this code.

    Whatever else is wrong is told when it is used: an app that does not start tells nothing.

    Raises:
        NewerStore: It is: without functions, nothing is taken that only the newer code may have.
    """
    try:
        settings = Settings.from_env(env)
        if settings.storage.startswith(SQLITE):
            from pathlib import Path  # noqa: PLC0415

            from rebuilder.sqlite._database import Database  # noqa: PLC0415

            with Database(Path(settings.storage.removeprefix(SQLITE))).reading():
                return
        from rebuilder.azure.storage.tables._tables import table_service  # noqa: PLC0415
        from rebuilder.azure.storage.tables._version import StoreVersion  # noqa: PLC0415

        with table_service(settings, quickly=True) as service:
            StoreVersion(service).check()
    except NewerStore:
        raise
    except RebuilderError as error:
        log.info("the version of the store is not known yet: %s", error)
