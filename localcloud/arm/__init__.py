"""Azure Resource Manager, as far as container registries, their tasks and runs need it."""

from __future__ import annotations

from localcloud.arm.app import Arm, Behaviour, Fault

__all__ = ["Arm", "Behaviour", "Fault"]
