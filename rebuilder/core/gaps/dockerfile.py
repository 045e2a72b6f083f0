"""What ACR's scanner makes of a line of a build file, where a build makes something else of it."""

from __future__ import annotations

from rebuilder.core.dependencies.build_files import BuildKitOnly
from rebuilder.core.dependencies.effects import bare_argument, without_buildkit
from rebuilder.core.gaps.gap import Gap

_FAILS = "what is left is no image, so the run fails and nothing is recorded"


class LineGap(Gap, frozen=True):
    """Something about a line of a build file.

    Attributes:
        file: The file.
        line: The line, counted from 1; 0 for the file as a whole.
    """

    file: str
    line: int

    def sentence(self) -> str:
        """The reason as a sentence, with its evidence."""
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.why()}"

    def why(self) -> str:
        """The reason without the place."""
        return self.template.format(self=self)


class FileRefused(LineGap, frozen=True):
    """The file is refused: by the builder, or because it is larger than this product reads.

    Attributes:
        problem: Why.
    """

    code = "file-refused"
    template = "refused: {self.problem}"
    problem: str


class UnknownForm(LineGap, frozen=True):
    """A FROM or an ARG in a form that the scanner does not understand.

    Attributes:
        text: The line.
    """

    code = "unknown-form"
    template = "ACR's scanner does not understand {self.text!r}, so the run fails"
    text: str


class BareArgument(LineGap, frozen=True):
    """A build step's `--build-arg NAME`, which has no value.

    Attributes:
        name: The argument.
    """

    code = "argument-without-value"
    name: str

    def why(self) -> str:
        """The reason without the place."""
        return bare_argument(self.name)


class MissedImage(LineGap, frozen=True):
    """An image that the build reads and the scanner does not look for.

    Attributes:
        image: The image.
    """

    image: str


class PlatformFlag(MissedImage, frozen=True):
    """`FROM --platform` makes the scanner fail, and the run with it."""

    code = "platform-flag"
    template = (
        "ACR's scanner does not understand FROM --platform, so the run fails and"
        " {self.image} is not recorded"
    )


class CopyFrom(MissedImage, frozen=True):
    """`COPY --from` of an image is not looked at."""

    code = "copy-from"
    template = "ACR's scanner does not look at COPY --from, so {self.image} is not recorded"


class RunMount(MissedImage, frozen=True):
    """`RUN --mount=from` an image is not looked at."""

    code = "run-mount"
    template = "ACR's scanner does not look at RUN --mount=from, so {self.image} is not recorded"


class SyntaxImage(MissedImage, frozen=True):
    """The image that reads the Dockerfile is not looked at."""

    code = "syntax-image"
    template = "ACR's scanner does not look at # syntax, so {self.image} is not recorded"


class OnBuild(MissedImage, frozen=True):
    """What an ONBUILD of an earlier stage reads is not looked at."""

    code = "onbuild"
    template = "ACR's scanner does not look at ONBUILD, so {self.image} is not recorded"


class CommandBuild(MissedImage, frozen=True):
    """An image that a build in a cmd step reads."""

    code = "command-build"
    template = "ACR scans build steps only, so {self.image}, which a command builds on, is missing"


class Copied(MissedImage, frozen=True):
    """An image that the task copies."""

    code = "copied"
    template = "ACR scans build steps only, so {self.image}, which is copied, is not recorded"


class ToolImage(MissedImage, frozen=True):
    """An image that a command runs; no image is made of it."""

    code = "tool"
    counts = False
    template = "{self.image} is a tool that a command runs: no image is made of it"


class NeedsBuildkit(LineGap, frozen=True):
    """Something that is for BuildKit, on a step that gets the classic builder.

    Attributes:
        what: What it is.
        fails: Whether every classic builder refuses it, so that the run fails.
    """

    code = "needs-buildkit"
    counts = False
    what: str
    fails: bool

    def why(self) -> str:
        """The reason without the place."""
        only = BuildKitOnly(self.line, self.what, self.fails)
        verb = "needs" if self.fails else "is for"
        return f"{self.what} {verb} BuildKit, and {without_buildkit(only)}"


class NotSeen(MissedImage, frozen=True):
    """A FROM that the scanner does not reach."""

    code = "not-seen"
    template = "ACR's scanner does not come to this line, so {self.image} is not recorded"


class MisreadImage(LineGap, frozen=True):
    """A FROM whose image the scanner reads wrong.

    Attributes:
        image: The image; as it stands in the file, if the build does not read it.
        recorded: What the scanner makes of it; "" if that is no image, so that the run fails.
    """

    image: str
    recorded: str

    def why(self) -> str:
        """The reason without the place."""
        so = f"it records {self.recorded}, not {self.image}" if self.recorded else _FAILS
        return f"{self.template.format(self=self)}; {so}"


class ContinuedFrom(MisreadImage, frozen=True):
    """A FROM that goes on in the next line."""

    code = "continued-from"
    template = "ACR's scanner reads line by line, and this FROM goes on in the next one"


class ExpansionForm(MisreadImage, frozen=True):
    """A variable in another form than $NAME and ${NAME}.

    Attributes:
        form: What stands in the braces.
    """

    code = "expansion-form"
    template = "ACR's scanner takes ${{{self.form}}} for a variable of that name, which is empty"
    form: str


class ArgumentGap(MisreadImage, frozen=True):
    """A variable whose value the scanner does not know, or has wrong.

    Attributes:
        name: The variable.
    """

    name: str


class ArgumentOfArgument(ArgumentGap, frozen=True):
    """An ARG whose default names another variable."""

    code = "argument-of-argument"
    template = "ACR's scanner does not expand the default of ARG {self.name}"


class LaterArgument(ArgumentGap, frozen=True):
    """An ARG that is not the first of its line."""

    code = "later-argument"
    template = "ACR's scanner reads only the first name of an ARG line, not {self.name}"


class FirstDefaultWins(ArgumentGap, frozen=True):
    """An ARG that stands twice: the last default counts, and the scanner keeps the first."""

    code = "first-default-wins"
    template = "ARG {self.name} stands twice, and ACR's scanner keeps the first default"


class StageArgument(ArgumentGap, frozen=True):
    """An ARG inside a stage, which FROM does not know, but the scanner does."""

    code = "stage-argument"
    template = (
        "ARG {self.name} stands inside a stage, so FROM does not know it; ACR's scanner"
        " takes its value all the same"
    )


class UndeclaredArgument(ArgumentGap, frozen=True):
    """A build argument without an ARG, which FROM does not know, but the scanner does."""

    code = "undeclared-argument"
    template = (
        "no ARG before the first FROM declares {self.name}, so FROM does not know it; ACR's"
        " scanner takes the build argument all the same"
    )


class PlatformArgument(ArgumentGap, frozen=True):
    """A variable that the builder sets by itself."""

    code = "platform-argument"
    template = "ACR's scanner does not know {self.name}, which the builder sets itself"


class OtherReading(MisreadImage, frozen=True):
    """A FROM that the scanner reads otherwise, for a reason that has no type of its own."""

    code = "other-reading"
    template = (
        "ACR's scanner knows no quotes inside a word, no escapes and no other forms of a name"
    )


class InventedImage(LineGap, frozen=True):
    """An image that the build does not read, and the scanner finds.

    Attributes:
        recorded: The image.
    """

    recorded: str


class CaseOfStage(InventedImage, frozen=True):
    """A stage in another case is an image to the scanner.

    Attributes:
        stage: The stage as it is declared.
    """

    code = "case-of-stage"
    template = (
        "the stage {self.stage} is written in another case, so ACR's scanner takes it for an"
        " image and records {self.recorded}"
    )
    stage: str


class HeredocLine(InventedImage, frozen=True):
    """A line of a heredoc that begins with FROM."""

    code = "heredoc-line"
    template = (
        "the line stands in a heredoc; ACR's scanner takes it for an instruction and records"
        " {self.recorded}"
    )


class LineInside(InventedImage, frozen=True):
    """A line inside another instruction that begins with FROM."""

    code = "line-inside"
    template = (
        "the line goes on with another instruction; ACR's scanner takes it for one of its own"
        " and records {self.recorded}"
    )


class UnusedStage(InventedImage, frozen=True):
    """A stage that the target does not need, on a step that gets BuildKit."""

    code = "unused-stage"
    template = "nothing needs this stage, so BuildKit does not read {self.recorded}; ACR records it"


class UnusedStageRun(InventedImage, frozen=True):
    """A stage that the target does not need, and that the classic builder runs all the same."""

    code = "unused-stage-run"
    counts = False
    template = (
        "nothing needs this stage; the classic builder, which the step gets, pulls"
        " {self.recorded} all the same, and the run fails if it is gone"
    )
