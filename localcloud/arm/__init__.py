"""Azure Resource Manager, as far as container registries, their tasks and runs need it.

`model` is what it manages, `router` finds what answers, `resources/` has a file per resource type,
`app` puts them together.
"""

from __future__ import annotations

from localcloud.arm.model import Arm
from localcloud.arm.switches import Behaviour, Fault

__all__ = ["Arm", "Behaviour", "Fault"]
