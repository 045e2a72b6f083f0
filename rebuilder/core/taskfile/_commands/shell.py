"""A command line, taken apart as a shell does it.

The agent hands `docker run ... TEXT` to `/bin/sh -c` (builder/context.go), so quotes, variables and
`&&` in a step's text are that shell's. A command may hand a text to another one: `bash -c '...'`.
One splitter serves both. Source of the rules: POSIX, Shell Command Language, 2.2 to 2.10.

What is plain words is read, and a here-document is passed over; from a loop, a condition or a
function on, a text is not followed any more, and that is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from rebuilder.core.taskfile._text import Unknowns, names
from rebuilder.errors import InvalidBuildFile

_SPECIAL = re.compile(r"""[^\w\s.,:/@%+^~=-]|\n""")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ORDINARY = re.compile(r"[\w.,:/@%+^~=*?\[\]{}!-]+")
_VARIABLE = re.compile(r"[A-Za-z_]\w*|[0-9@*#?!$-]")
_BRACES = re.compile(r"\{([A-Za-z_]\w*)\}")
_NESTED = re.compile(r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
_OPERATOR = re.compile(r"&&|\|\||;;|\|&|[;&|\n]")
_REDIRECT = re.compile(r"[0-9]*(?:<<<|<<-?|>>|>\||<>|[<>]&|&>>?|[<>])")
_DELIMITER = re.compile(r"[ \t]*(['\"\\]?)([A-Za-z0-9_.-]+)['\"]?")
_INSIDE = re.compile(r"\$\([^()]*\)|`[^`]*`")
_COMPOUND = names(
    "if then elif else fi for while until do done case esac select function time { } [[ ! ("
)


class Command(Struct):
    """One simple command.

    Attributes:
        words: Its words, with placeholders for what the shell fills in and nobody knows.
        joined: The operator before it: "", "&&", "||", ";", "|", "&".
        assignments: The variables that are set for it, or, without words, for all that follow.
        redirects: The files that it reads and writes, each with its operator.
        at: Where it begins in the text.
    """

    words: list[str] = field(default_factory=list)
    joined: str = ""
    assignments: dict[str, str] = field(default_factory=dict)
    redirects: list[tuple[str, str]] = field(default_factory=list)
    at: int = 0

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return not (self.words or self.assignments or self.redirects)


class Script(Struct, frozen=True):
    """The commands of a text.

    Attributes:
        commands: The simple commands, in their order.
        rest: What is not followed, from where on, for a person; "" if all is.
        left: All of the text that is not followed.
        substitutions: The commands whose output is filled in.
    """

    commands: tuple[Command, ...]
    rest: str = ""
    substitutions: tuple[str, ...] = ()
    left: str = ""


def parse(
    text: str,
    line: int,
    unknowns: Unknowns,
    *,
    variables: Mapping[str, str] | None = None,
    windows: bool = False,
) -> Script:
    """Take a text apart.

    Args:
        text: The text.
        line: Its line in the file, for messages.
        unknowns: Makes the placeholders for what the shell fills in.
        variables: The variables that are known; any other is not. None for the agent's own shell,
            of which none is.
        windows: The shell is PowerShell, to which a backslash is a letter.

    Raises:
        InvalidBuildFile: A quote is not closed.
    """
    if not _SPECIAL.search(text.strip("\n")):
        words = text.split()
        if not words or not _ASSIGNMENT.match(words[0]):
            if words and words[0] in _COMPOUND:
                return Script((), text.strip(), left=text)
            return Script((Command(words),) if words else ())
    of_agent = variables is None
    known = variables or {}
    return _Splitter(text, line, unknowns, known, windows=windows, of_agent=of_agent).script()


class _Splitter:
    def __init__(
        self,
        text: str,
        line: int,
        unknowns: Unknowns,
        variables: Mapping[str, str],
        *,
        windows: bool,
        of_agent: bool,
    ) -> None:
        self._of_agent = of_agent
        self._text = text.strip()
        self._line = line
        self._unknowns = unknowns
        self._variables = dict(variables)
        self._substitutions: list[str] = []
        self._windows = windows
        self._at = 0
        self._commands: list[Command] = []
        self._command = Command()
        self._word: list[str] | None = None
        self._redirect = ""
        self._began = 0
        self._after_documents = 0

    def script(self) -> Script:
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if self._word is None and char.isdigit() and self._redirected():
                pass  # a number before < or > is a file's
            elif run := _ORDINARY.match(text, self._at):
                self._add(run[0])
                self._at = run.end()
            elif self._word is None and (operator := self._operator()):
                self._end_command(operator)
            elif self._word is None and char == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif char in " \t\r":
                self._end_word()
                self._at += 1
            elif self._operator():
                self._end_word()
            elif char in "<>&":
                if not self._redirected():
                    self._letter(char)
            elif char in "()":
                return self._given_up()
            else:
                self._letter(char)
            if self._redirect in ("<<", "<<-") and not self._here_document():
                return self._given_up()
        self._end_word()
        self._end_command("")
        return self._whole()

    def _whole(self) -> Script:
        for number, command in enumerate(self._commands):
            if self._stops(command):
                words = self._unknowns.readable(" ".join(command.words))
                followed = tuple(self._commands[:number])
                left = self._text[command.at :]
                return Script(followed, words, tuple(self._substitutions), left)
        return Script(tuple(self._commands), "", tuple(self._substitutions))

    @staticmethod
    def _stops(command: Command) -> bool:
        return command.words[:1] != [] and (
            command.words[0] in _COMPOUND or command.words[0].endswith("()")
        )

    def _given_up(self) -> Script:
        """Return what was read before the command that is not followed."""
        rest = self._text[self._began :].strip()
        found = self._whole()
        left = found.left or rest
        rest = found.rest or self._unknowns.readable(rest)
        return Script(found.commands, rest, found.substitutions, left)

    # Words.

    def _operator(self) -> str:
        found = _OPERATOR.match(self._text, self._at)
        if found is None or (found[0] == "&" and self._text.startswith("&>", self._at)):
            return ""
        return found[0]

    def _end_command(self, operator: str) -> None:
        waits = self._command.joined in ("&&", "||", "|")
        if not self._command.empty:
            self._commands.append(self._command)
            self._remember(self._command)
        elif operator == "\n" and waits:
            self._at += 1
            return  # what goes on in the next line is one command
        elif (operator or waits) and operator != "\n":
            raise InvalidBuildFile(self._line, "the shell refuses the text: a command is missing")
        self._at += len(operator)
        if operator == "\n" and self._after_documents:
            self._at, self._after_documents = self._after_documents, 0
        self._began = self._at
        joined = operator.replace("\n", ";").replace("|&", "|")
        self._command = Command(joined=joined, at=self._at)

    def _remember(self, command: Command) -> None:
        """Let what follows know the variables that a command sets."""
        if not command.words:
            self._variables |= command.assignments
        elif command.words[0] in ("export", "declare", "readonly"):
            pairs = (word.partition("=") for word in command.words[1:] if "=" in word)
            self._variables |= {name: value for name, _, value in pairs}
        elif command.words[0] == "unset":
            for name in command.words[1:]:
                self._variables.pop(name, None)

    def _letter(self, char: str) -> None:
        text, self._at = self._text, self._at + 1
        if char == "\\" and not self._windows:
            following = text[self._at : self._at + 1]
            self._at += 1
            if following == "\n":
                return  # a line that goes on is one line
            self._add(following)
        elif char == "'":
            end = text.find("'", self._at)
            if end < 0:
                raise InvalidBuildFile(self._line, "a quote of the command is not closed")
            self._add(text[self._at : end])
            self._at = end + 1
        elif char == '"':
            self._add("")
            self._double()
        elif char in "$`":
            self._at -= 1
            self._expansion(quoted=False)
        else:
            self._add(char)

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(text)

    def _double(self) -> None:
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char == '"':
                self._at += 1
                return
            following = text[self._at + 1 : self._at + 2]
            if char == "\\" and not self._windows and following and following in '$`"\\\n':
                self._add(following.replace("\n", ""))
                self._at += 2
            elif char in "$`":
                self._expansion(quoted=True)
            else:
                self._add(char)
                self._at += 1
        raise InvalidBuildFile(self._line, "a quote of the command is not closed")

    def _expansion(self, *, quoted: bool) -> None:
        """Fill in a variable that is known, and a placeholder for anything else."""
        text, start = self._text, self._at
        name = ""
        if text[start] == "`":
            end = text.find("`", start + 1) + 1
        elif found := _VARIABLE.match(text, start + 1):
            name, end = found[0], found.end()
        elif found := _BRACES.match(text, start + 1):
            name, end = found[1], found.end()
        elif text.startswith("${", start):
            end = text.find("}", start) + 1
        elif text.startswith("$(", start):
            match = _NESTED.match(text, start + 1)
            end = 0 if match is None else match.end()
        elif text.startswith("$'", start) and not quoted:
            end = 0
        else:
            self._add("$")
            self._at += 1
            return
        if end == 0:
            self._add(
                self._unknowns.word(
                    text[start:], "what the shell does with it is not followed", self._line
                )
            )
            self._at = len(text)
            return
        self._at = end
        if name in self._variables:
            self._fill(self._variables[name], quoted=quoted)
            return
        piece = text[start:end]
        if piece.startswith(("$(", "`")):
            self._substitutions.append(piece)
        reason = f"the shell fills in {piece}"
        if self._of_agent:
            reason = (
                f"the agent's shell fills in {piece}, which is no alias (version v1.1.0 has them)"
            )
        self._add(self._unknowns.word(piece, reason, self._line, may_be_empty=True))

    def _fill(self, found: str, *, quoted: bool) -> None:
        if quoted:
            self._add(found)
            return
        # Without quotes what stands in a variable is split once more.
        for number, part in enumerate(found.split()):
            if number:
                self._end_word()
            self._add(part)

    def _redirected(self) -> bool:
        found = _REDIRECT.match(self._text, self._at)
        if found is None:
            return False
        self._end_word()
        self._redirect = found[0].lstrip("0123456789")
        self._at = found.end()
        return True

    def _here_document(self) -> bool:
        """Pass over the lines up to a delimiter; tell whether it is there."""
        text = self._text
        delimiter = _DELIMITER.match(text, self._at)
        first = self._after_documents or text.find("\n", self._at) + 1
        if delimiter is None or not first:
            return False
        tabs = r"\t*" if self._redirect == "<<-" else ""
        last = re.compile(rf"^{tabs}{re.escape(delimiter[2])}$", re.MULTILINE).search(text, first)
        if last is None:
            return False
        if not delimiter[1]:
            self._substitutions += _INSIDE.findall(text, first, last.start())
        self._command.redirects.append((self._redirect, delimiter[2]))
        self._redirect = ""
        self._at = delimiter.end()
        self._after_documents = last.end()
        return True

    def _end_word(self) -> None:
        if self._word is None:
            return
        word, self._word = "".join(self._word), None
        command = self._command
        if self._redirect:
            command.redirects.append((self._redirect, word))
            self._redirect = ""
        elif not command.words and _ASSIGNMENT.match(word):
            name, _, value = word.partition("=")
            command.assignments[name] = value
        else:
            command.words.append(word)
