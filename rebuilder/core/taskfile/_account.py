"""The account of a run: which images its steps read, make and push, one step after the other.

The agent's store of images is followed by name: a build's tags, what was pulled, what was tagged.
What is pushed under a name then tells what the pushed image stands on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from copy import replace

from rebuilder.core.acr.references import ImageReference
from rebuilder.core.acr.tasks import Kind
from rebuilder.core.dependencies.build_files import BuildImages, ImageUse, UnknownImage
from rebuilder.core.dependencies.effects import Builder, Built, Effects
from rebuilder.core.taskfile._commands import docker, programs
from rebuilder.core.taskfile._commands.builds import IMAGE, check_contexts
from rebuilder.core.taskfile._commands.world import Place, folder_of
from rebuilder.core.taskfile._contents import Content, Doing, Fetched, Made, canonical
from rebuilder.core.taskfile._files import Files, ReadFile
from rebuilder.core.taskfile._outcome import done, images_of
from rebuilder.core.taskfile._steps import Build, Placeholder, RunContext, Step, TaskFile
from rebuilder.core.taskfile._text import Hidden, Unknowns
from rebuilder.errors import InvalidBuildFile, InvalidReference, SourceUnavailable

_BUILDS = 200


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
        unknowns: The placeholders in them.
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
        self._store: dict[str, Content] = {}
        self._all_tags: set[str] = set()
        self._ordered = True
        self._made: list[Made] = []
        self._fetched: list[Fetched] = []
        self._ran: list[tuple[Doing, str, int, tuple[str, ...]]] = []
        self._pushes: dict[str, int] = {}
        self._late: list[tuple[str, int]] = []
        self._steps: list[Doing] = []
        self._step = Doing(0, "", "")
        self._needed: dict[str, Placeholder] = {}
        self._files = files = Files(unknowns, read_file, platform)
        self.write, self.write_all, self.read = files.write, files.write_all, files.read

    def lack(self, values: Sequence[Placeholder]) -> None:
        """The whole file lacks values."""
        self._needed |= {placeholder.value: placeholder for placeholder in values}

    # Steps.

    def step(self, step: Step, build: Build | None = None) -> None:
        """Follow one step."""
        self._step = Doing(step.line, step.id, step.kind)
        self._ordered = self._ordered and not step.when
        self._steps.append(self._step)
        for text in (step.text, step.folder, step.options, *step.environment, *step.pushed):
            for placeholder in self.unknowns.within(text):
                if placeholder.value:
                    self._needed.setdefault(placeholder.value, replace(placeholder, line=step.line))
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
        made = Made(line, pushed=build.pushed)
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
        reason = "; ".join(build.unknown) or self._files.changed(build)
        if len(self._made) > _BUILDS:
            reason = f"there are more than {_BUILDS} builds"
        if not reason:
            try:
                content = self._files.content(build)
                built = replace(built, content=content)
                check_contexts(build, content)
                return replace(built, images=self._files.images(build, content))
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

    def _uses(self, build: Build, built: Built, said: BuildImages, made: Made) -> None:
        """Take what a Dockerfile reads into the account."""
        name = built.dockerfile
        sure = self._files.sure(build, said, built.content or b"")
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
                if isinstance(content, Fetched):
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

    def pull(self, image: str, line: int) -> None:
        """An image is fetched."""
        self._store[canonical(image)] = self._fetch(image, line, (f"docker pull {image}",))

    def _fetch(self, image: str, line: int, way: tuple[str, ...]) -> Fetched:
        reference = self._reference(image, line)
        use = None if reference is None else ImageUse(reference, Kind.BUILD_TIME, line, way)
        fetched = Fetched(use)
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
        if isinstance(content, Made):
            self._all_tags.add(canonical(new))

    def push(self, image: str, line: int) -> None:
        """An image is pushed."""
        self._pushed(image, line)
        known = canonical(image)
        if known not in self._store:
            self._late.append((image, line))
            return
        self._mark(self._store[known])

    def _mark(self, content: Content) -> None:
        if content is not None:
            content.pushed = True

    def _pushed(self, image: str, line: int) -> None:
        text = image.removeprefix(docker.LIST)
        if any(placeholder.value for placeholder in self.unknowns.within(text)):
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
        contents: list[Content] = []
        for source in sources:
            known = canonical(source)
            content = self._store.get(known)
            if known not in self._store and known not in self._pushes:
                way = (f"copied to {self._readable(target.removeprefix(docker.LIST))}",)
                content = self._fetch(source, line, way)
            contents.append(content)
        if target.startswith(docker.LIST):
            # A list of docker's own is made now and pushed later.
            list_of = Made(line, stands_on=[c for c in contents if c is not None])
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
        if isinstance(content, Fetched):
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
        images, final = images_of(self._made, self._fetched, self._tools(), self._own)
        needed = [
            UnknownImage(placeholder.text, placeholder.line, placeholder.reason)
            for placeholder in self._needed.values()
        ]
        return Effects(
            images,
            final,
            tuple(self._pushes),
            tuple(dict.fromkeys((*needed, *sorted(self.missed, key=lambda missed: missed.line)))),
            tuple(self._needed),
            tuple(map(done, self._steps)),
            tuple(word for s in self.unknowns.all() for word in (s.word, s.other)),
        )

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

    def _own(self, image: str) -> bool:
        """Tell whether an image that a step reads may be the run's own.

        What a step reads before another one makes it is the registry's. If the run then pushes it,
        it is left out all the same: each run would start the next one.
        """
        return image in self._all_tags and (image in self._pushes or not self._ordered)
