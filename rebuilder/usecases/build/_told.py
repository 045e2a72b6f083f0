"""What telemetry is told of a rebuild, at each change of its record that matters."""

from __future__ import annotations

from rebuilder.core.rebuilds.rebuild import Rebuild, State
from rebuilder.errors import RebuilderError
from rebuilder.isolation import attempt
from rebuilder.telemetry import signals
from rebuilder.telemetry.signals import CHECK, PUSH, REBUILD, REGISTRY, RUN, STATE, TASK
from rebuilder.usecases.context import Context


def about(rebuild: Rebuild) -> signals.About:
    """Return what a span of a rebuild is about."""
    return {
        TASK: str(rebuild.task),
        REGISTRY: rebuild.task.registry.name,
        PUSH: rebuild.push,
        REBUILD: rebuild.id,
        RUN: rebuild.run_id,
        STATE: rebuild.state.value,
    }


def changed(context: Context, rebuild: Rebuild) -> None:
    """Tell that a rebuild was held, was scheduled, or is over.

    Nothing is read if nobody listens, and nothing raised: that a push's time cannot be read keeps
    nobody from going on.
    """
    if not signals.on():
        return
    signals.note(about(rebuild))
    by = {REGISTRY: rebuild.task.registry.name, STATE: rebuild.state.value}
    checked = rebuild.check.value if rebuild.check else None
    signals.tell(signals.REBUILDS, by={**by, CHECK: checked})
    if rebuild.state.over and rebuild.native is not None:
        signals.tell(signals.NATIVE, by={REGISTRY: by[REGISTRY], STATE: rebuild.native.value})
    metric = {State.SCHEDULED: signals.TO_SCHEDULED, State.SUCCEEDED: signals.TO_REBUILT}
    if rebuild.state in metric:
        _since_push(context, rebuild, metric[rebuild.state])


def _since_push(context: Context, rebuild: Rebuild, metric: signals.Metric) -> None:
    found = attempt(context.ledger.push, rebuild.push)
    if found is None or isinstance(found, RebuilderError):
        return
    pushed = found.push.pushed_at or found.first_at
    signals.tell(metric, context.now() - pushed, by={REGISTRY: rebuild.task.registry.name})
