"""The account of a run: which images its steps read, make and push, one step after the other.

The agent's store of images is followed by name: a build's tags, what was pulled, what was tagged.
What is pushed under a name then tells what the pushed image stands on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import replace
from functools import lru_cache

from msgspec import Struct, field

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.dependencies.effects import Builder, Built, Effects, StepDone
from rebuilder.core.dockerfile import outline, read_dockerfile
from rebuilder.core.taskfile._commands import docker, programs
from rebuilder.core.taskfile._commands.builds import IMAGE
from rebuilder.core.taskfile._commands.world import Place, Rewritten, folder_of
from rebuilder.core.taskfile._steps import Build, RunContext, StandIn, Step, TaskFile
from rebuilder.core.taskfile._text import Hidden, Unknowns
from rebuilder.errors import InvalidBuildFile, InvalidReference, SourceUnavailable

_BUILDS = 200
_BYTES = 4 * 1024 * 1024
"""How much of Dockerfiles one task file may have read; one that is read again counts again."""


type ReadFile = Callable[[str, str], bytes]
"""Gives a file of a context: the context's address, "" for the task's own, and the path from its
root. Raises SourceUnavailable if it cannot be had."""


class _Made(Struct):
    """An image that a build makes.

    Attributes:
        line: The line of its step.
        uses: What its Dockerfile reads, with the way for a person.
        stands_on: The other images of the run that it is built on.
        final: What it is built on in the end; None if that is not known, or nothing.
        pushed: Whether it is pushed.
    """

    line: int
    uses: list[ImageUse] = field(default_factory=list)
    stands_on: list[_Made | _Fetched] = field(default_factory=list)
    final: ImageReference | None = None
    pushed: bool = False


class _Fetched(Struct):
    """An image that is pulled, or copied from registry to registry.

    Attributes:
        use: What is read; None if its name is not known.
        run: Whether a container of it is run.
        built_on: Whether a build of the run reads it.
        pushed: Whether it is pushed, under whatever name.
    """

    use: ImageUse | None
    run: bool = False
    built_on: bool = False
    pushed: bool = False


class _Doing(Struct):
    """What a step is known to do so far; see StepDone."""

    line: int
    id: str
    kind: str
    builds: list[tuple[_Made, Built]] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)


type _Content = _Made | _Fetched | None


def effects_of(
    task_file: TaskFile,
    unknowns: Unknowns,
    read_file: ReadFile,
    run: RunContext,
    platform: str,
    folder: str,
    builds: Mapping[str, Build] | None = None,
) -> Effects:
    """Follow the steps of a task file.

    Args:
        task_file: The steps.
        unknowns: The stand-ins in them.
        read_file: Gives Dockerfiles, and files that describe builds.
        run: What is known of a run.
        platform: What the agent builds for, unless a build says otherwise.
        folder: Where the context's root is in its repository; "" if it is the root.
        builds: Steps that are a build already, by their ids.
    """
    account = _Account(unknowns, read_file, run, platform, folder)
    account.missed += task_file.unknown
    account.lack(task_file.lacking)
    try:
        for step in task_file.steps:
            account.step(step, (builds or {}).get(step.id))
    except Hidden as found:
        account.unclear(found.text, found.reason, found.line)
    return account.effects()


class _Account:
    """A World that keeps account."""

    def __init__(
        self,
        unknowns: Unknowns,
        read_file: ReadFile,
        run: RunContext,
        platform: str,
        folder: str,
    ) -> None:
        self.unknowns = unknowns
        self._folder = folder
        self.registry = run.registry
        self.missed: list[UnknownImage] = []
        self._run = run
        self._read_file = read_file
        self._platform = platform
        self._store: dict[str, _Content] = {}
        self._all_tags: set[str] = set()
        self._ordered = True
        self._made: list[_Made] = []
        self._fetched: list[_Fetched] = []
        self._ran: list[tuple[_Doing, str, int, tuple[str, ...]]] = []
        self._pushes: dict[str, int] = {}
        self._late: list[tuple[str, int]] = []
        self._steps: list[_Doing] = []
        self._step = _Doing(0, "", "")
        self._needed: dict[str, StandIn] = {}
        self._written: dict[str, int] = {}
        self._rewritten: tuple[str, int] | None = None
        self._left = _BYTES

    def lack(self, values: Sequence[StandIn]) -> None:
        """The whole file lacks values."""
        self._needed |= {stand_in.value: stand_in for stand_in in values}

    # Steps.

    def step(self, step: Step, build: Build | None = None) -> None:
        """Follow one step."""
        self._step = _Doing(step.line, step.id, step.kind)
        self._ordered = self._ordered and not step.when
        self._steps.append(self._step)
        for text in (step.text, step.folder, step.options, *step.environment, *step.pushed):
            for stand_in in self.unknowns.within(text):
                if stand_in.value:
                    self._needed.setdefault(stand_in.value, replace(stand_in, line=step.line))
        if build is not None:
            self.build(build, Builder.CLASSIC, step.line)
        for image in step.pushed:
            self.push(image, step.line)
        if step.text and build is None:
            try:
                self._command(step)
            except InvalidBuildFile as error:
                self.unclear(step.text, error.problem, step.line)

    def _command(self, step: Step) -> None:
        """Follow the command line that the agent makes of a build or a cmd."""
        place = Place(step.line, windows=self._run.os == "windows", agent=True)
        before = [step.options] if step.options else []
        before += [f"--env {variable}" for variable in step.environment]
        if step.kind == "build":
            image = "buildx build" if step.cached else "docker build"
            before += [] if step.buildkit else ["--env DOCKER_BUILDKIT=0"]
        else:
            image = ""
            before += [f"--entrypoint {step.entry_point}"] if step.entry_point else []
        if not step.own_folder:
            before.append(f"--workdir {folder_of(step.folder)}")
        text = " ".join(["docker run", *before, image, step.text.strip()])
        self._alias = step.alias
        programs.script(self, place, text)

    # What commands do; see World.

    def build(self, build: Build, builder: Builder, line: int) -> None:
        """An image is built."""
        made = _Made(line, pushed=build.pushed)
        self._made.append(made)
        name = self._name(build)
        tags = tuple(map(self._readable, build.tags))
        built = Built(line, builder, name, tags, build.pushed, build.build_args, build.target)
        if self._step.kind == "build":
            built = replace(built, bare_arguments=build.bare)
        built = self._said(built, build)
        self._step.builds.append((made, built))
        if built.images is not None:
            self._uses(build, built, built.images, made)
        for tag in build.tags:
            known = canonical(tag)
            self._all_tags.add(known)
            self._store[known] = made
            if build.pushed:
                self._pushed(tag, line)
        if build.known_as:
            self._store[build.known_as] = made

    def _name(self, build: Build) -> str:
        """Return a Dockerfile's name for a person: from the root of what the context is part of."""
        name = build.dockerfile
        if self._folder and name and not build.context and build.inline is None:
            name = posixpath.join(self._folder, name)
        return self._readable(name) or "the Dockerfile"

    def _said(self, built: Built, build: Build) -> Built:
        """Return a build with what its Dockerfile says, if that is known."""
        reason = "; ".join(build.unknown) or self._changed(build)
        if len(self._made) > _BUILDS:
            reason = f"there are more than {_BUILDS} builds"
        if not reason:
            try:
                content = self._content(build)
                built = replace(built, content=content)
                _check_contexts(build, content)
                return replace(built, images=self._images(build, content))
            except SourceUnavailable as error:
                reason = str(error)
            except InvalidBuildFile as error:
                reason = f"the builder refuses it: {error}"
                built = replace(built, refusal=error)
        if built.refusal is None:
            built = replace(built, unread=self._readable(reason))
        told = (reason, *build.unknown_args.values())
        self._miss(built.dockerfile, "; ".join(dict.fromkeys(told)), built.line)
        return built

    def _content(self, build: Build) -> bytes:
        if build.inline is not None:
            return build.inline
        return self._read_file(build.context, build.dockerfile)

    def _images(self, build: Build, content: bytes) -> BuildImages:
        self._left -= len(content)
        if self._left < 0:
            raise SourceUnavailable(f"the Dockerfiles together are over {_BYTES} bytes")
        return read_dockerfile(
            content,
            build_args=build.build_args,
            target=build.target,
            platform=build.platform or self._platform,
        )

    def _changed(self, build: Build) -> str:
        """Return why a Dockerfile of the context is not the one that is built; "" if it is."""
        if build.context or build.inline is not None:
            return ""
        if self._rewritten is not None:
            reason, line = self._rewritten
            return f"line {line}: {reason}, so that it may not be the context's any more"
        for path, line in self._written.items():
            if build.dockerfile == path or build.dockerfile.startswith(f"{path}/"):
                return f"line {line} writes it, so that it is not the context's"
        return ""

    def _uses(self, build: Build, built: Built, said: BuildImages, made: _Made) -> None:
        """Take what a Dockerfile reads into the account."""
        name = built.dockerfile
        sure = self._sure(build, said, built.content or b"")
        line = made.line
        contexts = {canonical(text): where for text, where in build.contexts.items()}
        final = said.final
        if str(final) in contexts:
            final = self._context_image(contexts[str(final)])
        for use in said.images:
            if use.kind is Kind.FRONTEND and not built.builder.reads_syntax:
                continue
            text = str(use.reference)
            if text in contexts and use.kind is not Kind.FRONTEND:
                way = (*use.way, f"the context {contexts[text]}")
                text = contexts[text]
                reference = self._context_image(text)
                if reference is not None:
                    use, text = replace(use, reference=reference, way=way), str(reference)  # noqa: PLW2901 - it takes the place
                    sure.add((reference, use.kind))
                elif text not in self._store:
                    continue  # a folder, or an address: there is no image in it
            if text in self._store:
                content = self._store[text]
                if content is not None and use.kind is Kind.RUNTIME:
                    made.stands_on.append(content)
                if isinstance(content, _Fetched):
                    content.built_on = True
                continue
            if (use.reference, use.kind) not in sure:
                reasons = self.unknowns.reasons(text) or tuple(build.unknown_args.values())
                readable = f"{name}, line {use.line}: {self._readable(text)}"
                self._miss(readable, "; ".join(reasons), line)
                continue
            way = (f"{name}, line {use.line}", *use.way)
            made.uses.append(ImageUse(use.reference, use.kind, line, way))
        for missing in said.unknown:
            if missing.text.startswith("# syntax") and not built.builder.reads_syntax:
                continue
            self._miss(f"{name}, line {missing.line}: {missing.text}", missing.reason, line)
        if final is not None and (final, Kind.RUNTIME) in sure:
            made.final = final

    @staticmethod
    def _context_image(where: str) -> ImageReference | None:
        """Return the image that a context is; None if it is none."""
        if not where.startswith(IMAGE):
            return None
        return ImageReference.parse(where.removeprefix(IMAGE))

    def _sure(
        self, build: Build, said: BuildImages, content: bytes
    ) -> set[tuple[ImageReference, Kind]]:
        """Return the images that do not depend on what is not known."""
        sure = {(use.reference, use.kind) for use in said.images}
        if not build.unknown_args:
            return sure
        values = " ".join(build.build_args[name] for name in build.unknown_args)
        stand_ins = self.unknowns.within(values)
        for instead in _attempts(stand_ins):
            try:
                other = replace(build, build_args=_with(build, stand_ins, instead))
                again = self._images(other, content)
            except (InvalidBuildFile, SourceUnavailable):
                continue  # a build that fails with a value reads nothing with it
            sure &= {(use.reference, use.kind) for use in again.images}
        return sure

    def pull(self, image: str, line: int) -> None:
        """An image is fetched."""
        self._store[canonical(image)] = self._fetch(image, line, (f"docker pull {image}",))

    def _fetch(self, image: str, line: int, way: tuple[str, ...]) -> _Fetched:
        reference = self._reference(image, line)
        use = None if reference is None else ImageUse(reference, Kind.BUILD_TIME, line, way)
        fetched = _Fetched(use)
        self._fetched.append(fetched)
        return fetched

    def _reference(self, image: str, line: int, *, tool: bool = False) -> ImageReference | None:
        """Return a name as a reference; None, and why not, if it is none that is known."""
        reasons = self.unknowns.reasons(image)
        if not reasons:
            try:
                return ImageReference.parse(image)
            except InvalidReference as error:
                reasons = (error.problem,)
        self._miss(image, "; ".join(reasons), line, tool=tool)
        return None

    def tag(self, old: str, new: str, line: int) -> None:
        """An image gets another name; one that no step made or pulled was pulled by a build."""
        known = canonical(old)
        if known not in self._store:
            self._store[known] = self._fetch(old, line, (f"docker tag {old}",))
        self._store[canonical(new)] = content = self._store[known]
        if isinstance(content, _Made):
            self._all_tags.add(canonical(new))

    def push(self, image: str, line: int) -> None:
        """An image is pushed."""
        self._pushed(image, line)
        known = canonical(image)
        if known not in self._store:
            self._late.append((image, line))
            return
        self._mark(self._store[known])

    def _mark(self, content: _Content) -> None:
        if content is not None:
            content.pushed = True

    def _pushed(self, image: str, line: int) -> None:
        text = image.removeprefix(docker.LIST)
        if any(stand_in.value for stand_in in self.unknowns.within(text)):
            reasons = "; ".join(self.unknowns.reasons(text))
            self.unclear(text, f"which image is pushed: {reasons}", line)
            return
        odd = [s.reason for s in self.unknowns.within(text) if not s.later]
        if odd:
            self._miss(text, f"under which name it is pushed: {'; '.join(odd)}", line)
        name = self._readable(canonical(text))
        self._pushes.setdefault(name, line)
        self._step.pushes.append(name)

    def push_all(self, repository: str, line: int) -> None:
        """Every tag of a repository is pushed."""
        prefix = canonical(repository).rpartition(":")[0]
        names = [name for name in self._store if name.rpartition(":")[0] == prefix]
        for name in names:
            self.push(name, line)
        if not names:
            self.unclear(repository, "which of its tags are pushed is not known", line)

    def copy(self, sources: Sequence[str], target: str, line: int) -> None:
        """An image of a registry is made of others."""
        contents: list[_Content] = []
        for source in sources:
            known = canonical(source)
            content = self._store.get(known)
            if known not in self._store and known not in self._pushes:
                way = (f"copied to {self._readable(target.removeprefix(docker.LIST))}",)
                content = self._fetch(source, line, way)
            contents.append(content)
        if target.startswith(docker.LIST):
            # A list of docker's own is made now and pushed later.
            list_of = _Made(line, stands_on=[c for c in contents if c is not None])
            self._made.append(list_of)
            self._store[canonical(target)] = list_of
            return
        for content in contents:
            self._mark(content)
        self._pushed(target, line)

    def fill(self, image: str, reason: str, line: int) -> None:
        """An image comes from what is not followed."""
        self._store[canonical(image)] = None
        self._miss(image, reason, line)

    def run(self, image: str, line: int, way: tuple[str, ...]) -> None:
        """A container is run."""
        known = canonical(image)
        content = self._store.get(known)
        if isinstance(content, _Fetched):
            content.run = True
        if known not in self._store:
            alias = (f"{self._alias} is an alias",) if self._alias and self._alias != image else ()
            self._ran.append((self._step, image, line, (*way, *alias, f"cmd: {image}")))

    def unclear(self, text: str, reason: str, line: int) -> None:
        """Something is not understood."""
        self._miss(text, reason, line, makes=True)

    def _miss(
        self, text: str, reason: str, line: int, *, tool: bool = False, makes: bool = False
    ) -> None:
        missed = UnknownImage(self._readable(text), line, self._readable(reason), tool, makes)
        self.missed.append(missed)

    def write(self, place: Place, path: str) -> None:
        """A file may be written."""
        if self.unknowns.within(path):
            return
        try:
            self._written.setdefault(place.path(path), place.line)
        except SourceUnavailable:
            return  # what is outside of the context is no Dockerfile of it

    def write_all(self, reason: str, line: int) -> None:
        """Any file may be written."""
        self._rewritten = self._rewritten or (reason, line)

    def read(self, path: str) -> bytes:
        """Return a file of the task's context."""
        changed = self._changed(Build(path))
        if changed:
            raise Rewritten(f"{path}: {changed}")
        content = self._read_file("", path)
        self._left -= len(content)
        if self._left < 0:
            raise SourceUnavailable(f"the files together are over {_BYTES} bytes")
        return content

    def _readable(self, text: str) -> str:
        return self.unknowns.readable(text)

    # The account.

    def effects(self) -> Effects:
        """Return what all steps together do."""
        for image, line in self._late:
            known = canonical(image)
            if known in self._store:
                self._mark(self._store[known])  # a step that is written later may run earlier
            elif not any(s.value for s in self.unknowns.within(image)):
                name = image.removeprefix(docker.LIST)
                self._miss(name, "no step that is understood makes what is pushed", line)
        images, final = self._images_of_all()
        needed = [
            UnknownImage(stand_in.text, stand_in.line, stand_in.reason)
            for stand_in in self._needed.values()
        ]
        return Effects(
            images,
            final,
            tuple(self._pushes),
            tuple(dict.fromkeys((*needed, *sorted(self.missed, key=lambda missed: missed.line)))),
            tuple(self._needed),
            tuple(map(self._done, self._steps)),
            tuple(word for s in self.unknowns.all() for word in (s.word, s.other)),
        )

    def _images_of_all(self) -> tuple[tuple[ImageUse, ...], ImageReference | None]:
        """Return every image with its kind, and the base of the last image that is pushed."""
        uses: list[ImageUse] = []
        final = None
        standing = _standing([*self._made, *self._fetched])
        for made in self._made:
            stays = id(made) in standing
            for use in made.uses:
                thrown_away = use.kind is Kind.RUNTIME and not stays
                uses.append(replace(use, kind=Kind.BUILD_TIME) if thrown_away else use)
            if made.pushed:
                final = self._base(made)
        for fetched in self._fetched:
            if fetched.use is None:
                continue
            kind = Kind.BUILD_TIME
            if id(fetched) in standing:
                kind, final = Kind.RUNTIME, final or fetched.use.reference
            elif fetched.run and not fetched.built_on:
                kind = Kind.TOOL
            uses.append(
                replace(fetched.use, kind=kind) if kind is not fetched.use.kind else fetched.use
            )
        uses += self._tools()
        bases = {use.reference for use in uses if use.kind is Kind.RUNTIME}
        bases -= {u.reference for m in self._made for u in m.uses if u.kind is Kind.BUILD_TIME}
        found: dict[tuple[ImageReference, Kind], ImageUse] = {}
        for use in sorted(uses, key=lambda use: use.line):
            own = self._own(str(use.reference))
            # What a pushed image stands on needs no second mention.
            if not own and (use.kind is Kind.RUNTIME or use.reference not in bases):
                found.setdefault((use.reference, use.kind), use)
        return tuple(found.values()), final

    def _tools(self) -> Iterator[ImageUse]:
        """Return the images that are run and that no step makes, be it a later one."""
        for step, image, line, way in self._ran:
            if self._own(canonical(image)):
                continue
            reference = self._reference(image, line, tool=True)
            if reference is not None:
                step.tools.append(str(reference))
                readable = tuple(map(self._readable, way))
                yield ImageUse(reference, Kind.TOOL, line, readable)

    def _base(self, made: _Made) -> ImageReference | None:
        """Return what an image stands on in the end."""
        one: _Made | _Fetched = made
        while isinstance(one, _Made) and one.stands_on:
            one = one.stands_on[-1]  # made before it, so this ends
        if isinstance(one, _Fetched):
            return None if one.use is None else one.use.reference
        return None if self._own(str(one.final)) else one.final

    def _own(self, image: str) -> bool:
        """Tell whether an image that a step reads may be the run's own.

        What a step reads before another one makes it is the registry's. If the run then pushes it,
        it is left out all the same: each run would start the next one.
        """
        return image in self._all_tags and (image in self._pushes or not self._ordered)

    def _done(self, step: _Doing) -> StepDone:
        builds = tuple(
            built if built.pushed is made.pushed else replace(built, pushed=made.pushed)
            for made, built in step.builds
        )
        return StepDone(
            step.line, step.id, step.kind, builds, tuple(step.tools), tuple(step.pushes)
        )


def _check_contexts(build: Build, content: bytes) -> None:
    """Refuse what is not followed: a context in place of a stage, or one that is no image.

    Raises:
        SourceUnavailable: There is such a context.
        InvalidBuildFile: The Dockerfile cannot be read.
    """
    if not build.contexts:
        return
    froms = (i.text.split() for i in outline(content) if i.keyword == "from")
    stages = {words[-1].lower() for words in froms if len(words) > 3}  # noqa: PLR2004 - FROM x AS y
    for name, where in build.contexts.items():
        if name.lower() in stages:
            raise SourceUnavailable(f"the context {name}={where} takes the place of a stage")
        if where.startswith(IMAGE):
            try:
                ImageReference.parse(where.removeprefix(IMAGE))
            except InvalidReference as error:
                raise SourceUnavailable(f"the context {name}: {error}") from None


def _standing(contents: Sequence[_Made | _Fetched]) -> set[int]:
    """Return the contents that are pushed, and those that a pushed image stands on."""
    found: set[int] = set()
    waiting = [one for one in contents if one.pushed]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found.add(id(one))
            if isinstance(one, _Made):
                waiting += one.stands_on
    return found


def _attempts(stand_ins: Sequence[StandIn]) -> Iterator[list[str]]:
    yield [stand_in.other for stand_in in stand_ins]
    if any(stand_in.may_be_empty for stand_in in stand_ins):
        yield ["" if stand_in.may_be_empty else stand_in.word for stand_in in stand_ins]


def _with(build: Build, stand_ins: Sequence[StandIn], instead: Sequence[str]) -> dict[str, str]:
    arguments = {}
    for name, value in build.build_args.items():
        for stand_in, other in zip(stand_ins, instead, strict=True):
            value = value.replace(stand_in.word, other)  # noqa: PLW2901 - one after the other
        arguments[name] = value
    return arguments


@lru_cache(maxsize=1024)
def canonical(image: str) -> str:
    """Return the name under which an image of the run is known, whatever is unknown in it."""
    if image.startswith(docker.LIST):
        return docker.LIST + canonical(image.removeprefix(docker.LIST))
    try:
        return str(ImageReference.parse(image))
    except InvalidReference:
        return image
