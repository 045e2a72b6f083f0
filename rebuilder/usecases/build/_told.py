"""What telemetry is told of a rebuild, at each change of its record that matters."""

from __future__ import annotations

from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.telemetry import dimensions, metrics, signals
from rebuilder.telemetry.dimensions import REBUILD, REGISTRY, RUN, of_task
from rebuilder.telemetry.metrics import CHECK, STATE
from rebuilder.usecases.context import Context


def about(rebuild: Rebuild) -> dimensions.About:
    """Return what a span, and a line of the log, of a rebuild is about."""
    return {
        **of_task(rebuild.task, rebuild.push),
        REBUILD: rebuild.id,
        RUN: rebuild.run_id,
        STATE: rebuild.state.value,
    }


def changed(context: Context, rebuild: Rebuild) -> None:
    """Tell that a rebuild was held, was scheduled, or is over.

    Nothing is read if nobody listens to numbers, and nothing raised: that a push's time cannot be
    read keeps nobody from going on.
    """
    signals.note(about(rebuild))
    if not signals.on():
        return
    by = {REGISTRY: rebuild.task.registry.name, STATE: rebuild.state.value}
    checked = rebuild.check.value if rebuild.check else None
    signals.tell(metrics.REBUILDS, by={**by, CHECK: checked})
    if rebuild.state.over and rebuild.native is not None:
        signals.tell(metrics.NATIVE, by={REGISTRY: by[REGISTRY], STATE: rebuild.native.value})
    metric = {State.SCHEDULED: metrics.TO_SCHEDULED, State.SUCCEEDED: metrics.TO_REBUILT}
    if rebuild.state in metric:
        _since_push(context, rebuild, metric[rebuild.state])


def _since_push(context: Context, rebuild: Rebuild, metric: metrics.Metric) -> None:
    found = attempt(context.ledger.push, rebuild.push)
    if found is None or isinstance(found, RebuilderError):
        return
    pushed = found.push.pushed_at or found.first_at
    signals.tell(metric, context.now() - pushed, by={REGISTRY: rebuild.task.registry.name})
