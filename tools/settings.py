"""Write what tells of the settings, from rebuilder/settings: `make docs`.

docs/settings.md, local.settings.sample.json, and the type of app settings in infra/.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from rebuilder.settings.table import SETTINGS, STORAGE, TUNING, Setting
from rebuilder.settings.tuning import FIELDS, GONE, Schedule, written

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
SAMPLE = ROOT / "local.settings.sample.json"
TYPES = ROOT / "infra" / "modules" / "types.bicep"

_PAGE = """# Settings

<!-- Written by `make docs` from rebuilder/settings; a test holds it to that. -->

The function app and the command read them from their environment; the command also from
`local.settings.json`. Three are required. What is missing or wrong is told all at once,
with what to write. `local.settings.sample.json` holds them all, and the template of `infra/` sets
those that it knows.

| Setting | Meaning | Default |
|---|---|---|
{settings}

## REBUILDER_TUNING

What few need to change stands in one setting: `FIELD=VALUE`, and `;` between fields.

```
REBUILDER_TUNING=track_interval=60s; sweep_schedule=0 0 * * * *
```

Times are a number and its unit: `90s`, `15m`, `24h`, `90d`. Schedules are NCRONTAB, in UTC. A
field that does not exist and a value that cannot be are refused, with what to write.

| Field | Meaning | Values | Default |
|---|---|---|---|
{fields}

## Settings of 0.2.0

Those that have another place now are still read, where the field is not set. The log warns of
them, and `rebuilder doctor` prints the commands that replace them. The template of
`infra/` refuses them.

| Then | Now |
|---|---|
{old}
"""


def page() -> str:
    """Return what docs/settings.md is to hold."""
    return _PAGE.format(
        settings="\n".join(
            f"| `{entry.name}` | {entry.meaning} | {_default(entry)} |" for entry in SETTINGS
        ),
        fields="\n".join(
            f"| `{field.name}` | {field.meaning} |"
            f" {'NCRONTAB' if isinstance(field.kind, Schedule) else field.kind.form} |"
            f" `{written(field.default)}` |"
            for field in FIELDS
        ),
        old="\n".join(f"| `{name}` | {instead} |" for name, instead in _old()),
    )


def _default(entry: Setting) -> str:
    return f"`{entry.default}`" if entry.default else entry.unset


def _old() -> Iterator[tuple[str, str]]:
    """Name the settings of 0.2.0 that have another place, and that place."""
    for field in FIELDS:
        like = f", for example `{field.name}={written(field.default)}`"
        yield field.old, f"`{field.name}` of `{TUNING}`{like}"
    yield from GONE.items()


def sample() -> str:
    """Return what local.settings.sample.json is to hold."""
    registry = (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/{}"
        "/providers/Microsoft.ContainerRegistry/registries/{}"
    )
    values = {"FUNCTIONS_WORKER_RUNTIME": "python"}
    values |= {entry.name: entry.default for entry in SETTINGS}
    values |= {
        SETTINGS[0].name: registry.format("base", "baseregistry"),
        SETTINGS[1].name: registry.format("apps", "appregistry"),
        STORAGE: "UseDevelopmentStorage=true",
    }
    return json.dumps({"IsEncrypted": False, "Values": values}, indent=2) + "\n"


def types(now: str) -> str:
    """Return what infra/modules/types.bicep is to hold.

    Args:
        now: What it holds.
    """
    lines = []
    for entry in sorted(entry for entry in SETTINGS if entry.chosen):
        default = f"`{entry.default}`" if entry.default else entry.unset
        text = f"Optional. {entry.meaning}. By default {default}."
        quoted = text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
        lines += [f"  @description('{quoted}')", f"  {entry.name}: string?", ""]
    head, begin, rest = now.partition("type appSettingsType = {\n")
    _, end, tail = re.split(r"(?m)(^}\n)", rest, maxsplit=1)
    return head + begin + "\n".join(lines[:-1]) + "\n" + end + tail


def main() -> int:
    """Write the files."""
    PAGE.write_text(page(), encoding="utf-8")
    SAMPLE.write_text(sample(), encoding="utf-8")
    TYPES.write_text(types(TYPES.read_text("utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
