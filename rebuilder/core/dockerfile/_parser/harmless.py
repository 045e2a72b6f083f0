"""Instructions that are seen at a glance to be right, and to read no image but that of a --from.

They are most of a file, so most of the time goes into them. What is not seen at a glance is
read in full; nothing but speed depends on this module, which a test proves.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# Possessive throughout: what does not match is known not to in one pass.
_NAME = "[A-Za-z_][A-Za-z0-9_]*+"
# Printable, but blank, quotes, escapes, `$` and `<`.
_PLAIN = "[!#%&(-;=-\\[\\]^_a-~]"
_START = "[!#%&(-,./0-;=-Z\\]^_a-~]"  # the same, but what may begin a flag or an array
_VALUE = (
    rf"(?:{_PLAIN}++|\$(?:{_NAME}|\{{{_NAME}\}})"
    rf"|\"(?:[^\"$\\`]++|\$(?:{_NAME}|\{{{_NAME}\}}))*+\"|'[^']*+')*+"
)
_KEY = "[A-Za-z_][A-Za-z0-9_.-]*+"
_STRINGS = r"\[ ?\"[^\"\\\x00-\x1f]*+\"(?: ?, ?\"[^\"\\\x00-\x1f]*+\")*+ ?\]\Z"

_COMMAND = rf"[ \t]*+(?:[!-,./0-Z\\\]^_`a-~]|{_STRINGS})"
_OWNER = rf"(?:--chown={_PLAIN}++[ \t]++)?+"
# A path, on Windows too: no drive, no share, no address of the web or of a git repository.
_PATH_START = "[!#%&()*+,.0-9;=?A-Z\\]^_a-~]"
_PATH_PLAIN = "[!#%&(-9;=?A-\\[\\]^_a-~]"
_PATH = rf"(?:/(?!/)|(?!github\.com/){_PATH_START}){_PATH_PLAIN}*+"
_WEB = rf"https?://(?!\S*(?:\.git|%)){_PLAIN}++"
_COPY = rf"[ \t]*+(?:--from=([A-Za-z0-9_.:/@-]++)[ \t]++)?+{_OWNER}{_PATH}(?:[ \t]++{_PATH})++\Z"
_ADD = rf"[ \t]*+{_OWNER}(?:{_WEB}|{_PATH})(?:[ \t]++{_PATH})++\Z"
_TIME = r"=[1-9][0-9]{0,4}+(?:ms|s|m|h)[ \t]++)?+"
_HEALTH = (
    rf"[ \t]*+(?:--interval{_TIME}(?:--timeout{_TIME}(?:--start-period{_TIME}"
    rf"(?:--retries=[0-9]{{1,5}}+[ \t]++)?+CMD[ \t]{_COMMAND}"
)
_PORT = "(?:[1-5][0-9]{0,4}+|6[0-4]?+[0-9]{0,3}+|[7-9][0-9]{0,3}+)"
_PORTS = rf"[ \t]*+{_PORT}(?:/(?:tc|ud)p)?+(?:[ \t]++{_PORT}(?:/(?:tc|ud)p)?+)*+\Z"
_SIGNAL = r"[ \t]*+(?:[1-9][0-9]?+|(?:SIG)?+(?:HUP|INT|KILL|QUIT|RTMIN\+3|TERM|USR[12]|WINCH))\Z"
_FOLDER = rf"[ \t]*+{_PATH}\Z"
_LIST = rf"[ \t]*+{_START}{_PLAIN}*+(?:[ \t]++{_PLAIN}++)*+\Z"
_PAIR = rf"{_KEY}={_VALUE}"
_PAIRS = rf"[ \t]*+{_PAIR}(?:[ \t]++{_PAIR})*+\Z"
_ARG = rf"{_KEY}(?:={_VALUE})?+"
_ARGS = rf"[ \t]*+{_ARG}(?:[ \t]++{_ARG})*+\Z"

_BY_KEYWORD = {
    "ADD": _ADD,
    "ARG": _ARGS,
    "CMD": _COMMAND,
    "COPY": _COPY,
    "ENTRYPOINT": _COMMAND,
    "ENV": _PAIRS,
    "EXPOSE": _PORTS,
    "HEALTHCHECK": _HEALTH,
    "LABEL": _PAIRS,
    "RUN": _COMMAND,
    "SHELL": rf"[ \t]*+{_STRINGS}",
    "STOPSIGNAL": _SIGNAL,
    "USER": _LIST,
    "VOLUME": _LIST,
    "WORKDIR": _FOLDER,
}
type Glance = Callable[[str, int], re.Match[str] | None]

_GLANCES: dict[str, Glance] = {
    keyword: re.compile(expression).match for keyword, expression in _BY_KEYWORD.items()
}
HARMLESS = _GLANCES | {key.lower(): see for key, see in _GLANCES.items()}
"""By what an instruction begins with, up to the first blank: matches what follows that if the
instruction is right and reads no image but that of a --from, which is the only group. What
holds `<<` may go on in the next line, though."""
