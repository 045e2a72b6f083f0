"""The function app: composes the blueprints of functions/, unless the store is of newer code."""

from __future__ import annotations

import azure.functions as func

from functions import (
    collect_dead_letters,
    image_pushed,
    plan_rebuilds,
    poll_bases,
    refresh_index,
    refresh_tasks,
    retire_history,
    start_build,
    sweep,
    task_changed,
    track_build,
)
from rebuilder.composition import refuse_newer_store

refuse_newer_store()
app = func.FunctionApp()
# Said by hand, because azure-functions otherwise warns, on every start of an app without HTTP
# triggers, that the auth level of its HTTP triggers has no effect.
app._require_auth_level = True  # noqa: SLF001
for module in (
    image_pushed,
    task_changed,
    refresh_index,
    refresh_tasks,
    plan_rebuilds,
    start_build,
    track_build,
    sweep,
    poll_bases,
    collect_dead_letters,
    retire_history,
):
    app.register_functions(module.blueprint)
