"""What the expansions of one file use, within their limits."""

from __future__ import annotations

from msgspec import Struct, field

from rebuilder.core.dockerfile._frontends import NEWEST, Frontend
from rebuilder.core.dockerfile._shell.variables import UNKNOWN, Variable, Variables, WordError
from rebuilder.core.dockerfile._text import EXPANSION_LIMIT, PATTERN_COST, PATTERN_LIMIT


class Expansion(Struct):
    """What expanding the words of one file has used, and what it may still use.

    Attributes:
        escape: The escape character.
        frontend: What reads the file.
        characters: How many characters the expansions of the file may still make.
        comparisons: How many comparisons its patterns may still need.
        used: The variables that the last word named and that are set.
        lacking: The names in the last word that are not set, or empty, and that it needs.
        unknown: Whether the last word depends on a variable of which nothing is known.
        lenient: Whether what goes beyond the limits is not known, instead of refused.
    """

    escape: str
    frontend: Frontend = NEWEST
    characters: int = EXPANSION_LIMIT
    comparisons: int = PATTERN_LIMIT
    used: list[Variable] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    unknown: bool = False
    lenient: bool = False

    def variable(self, name: str, variables: Variables) -> Variable | None:
        """A variable that a word names; None if it is not set.

        Raises:
            WordError: When the limit of the file is reached.
        """
        variable = variables.get(name)
        if variable is None:
            return None
        if variable is not UNKNOWN:
            self.used.append(variable)
            self.characters -= len(variable.value)
            if self.characters < 0:
                if not self.lenient:
                    limit = f"{EXPANSION_LIMIT} characters"
                    raise WordError(f"the file's expansions make more than {limit}")
                variable = UNKNOWN
        if variable is UNKNOWN:
            self.unknown = True
        return variable

    def compare(self, value: str, pattern: str) -> bool:
        """Count the work of a pattern; tell whether it may be done.

        Raises:
            WordError: When the limit of the file is reached.
        """
        self.comparisons -= PATTERN_COST + len(value) * len(pattern)
        if self.comparisons >= 0:
            return True
        if not self.lenient:
            raise WordError(f"the file's patterns need more than {PATTERN_LIMIT} comparisons")
        self.unknown = True
        return False
