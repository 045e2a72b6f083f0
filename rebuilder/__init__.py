"""Rebuild every image built on a base image, as soon as the base image is pushed.

Data walks one way: event -> push -> plan -> build -> outcome. `core` decides and knows nothing of
Azure; `usecases` walk the way over the ports of `ports`; `azure` and `sqlite` are adapters.
"""

from __future__ import annotations
