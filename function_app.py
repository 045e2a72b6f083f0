"""The function apps: compose the blueprints of functions/, unless the store is of newer code."""

from __future__ import annotations

import logging
import os

import azure.functions as func

from functions import (
    carry_out_act,
    collect_dead_letters,
    event_queued,
    image_pushed,
    plan_rebuilds,
    poll_bases,
    refresh_index,
    refresh_tasks,
    retire_history,
    send_message,
    start_build,
    sum_staleness,
    sweep,
    task_changed,
    track_build,
)
from rebuilder.errors import InvalidSettings
from rebuilder.settings import which_app
from rebuilder.settings.table import APP, REBUILD, WEB
from rebuilder.start import refuse_newer_store

# The host logs what Python logs under the function's name, so host.json cannot tell: Azure's own
# packages say two lines about each request, all of which are kept and paid for.
for name in ("azure.core", "azure.identity", "azure.mgmt", "azure.monitor", "msal", "urllib3"):
    logging.getLogger(name).setLevel(logging.WARNING)
refuse_newer_store()
_REBUILDS = (
    image_pushed,
    task_changed,
    event_queued,
    refresh_index,
    refresh_tasks,
    plan_rebuilds,
    start_build,
    track_build,
    sweep,
    poll_bases,
    collect_dead_letters,
    retire_history,
    sum_staleness,
    carry_out_act,
    send_message,
)
which = which_app(os.environ)
if which not in (REBUILD, WEB):
    raise InvalidSettings([f"{APP} is {which!r}: write {REBUILD} or {WEB}"])
app = func.FunctionApp()
if which == WEB:
    # It has HTTP functions alone, and the other app none of them: neither can do the other's work.
    from functions import web

    app.register_functions(web.blueprint)
else:
    # Said by hand, because azure-functions otherwise warns, on every start of an app without HTTP
    # triggers, that the auth level of its HTTP triggers has no effect.
    app._require_auth_level = True  # noqa: SLF001
    for module in _REBUILDS:
        app.register_functions(module.blueprint)
