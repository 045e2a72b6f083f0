"""One file per trigger: binding in, one call, outcome out.

To return is to acknowledge; to raise is to have the message delivered again.
"""

from __future__ import annotations

from rebuilder._log_lines import install

install()
