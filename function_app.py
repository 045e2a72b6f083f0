"""The function app: composes the blueprints of functions/, nothing else."""

from __future__ import annotations

import azure.functions as func

from functions import image_pushed, plan_rebuilds, start_build, track_build

app = func.FunctionApp()
for module in (image_pushed, plan_rebuilds, start_build, track_build):
    app.register_functions(module.blueprint)
