"""The Azure CLI in a run, as far as it signs in and imports images: with the task's identity.

What it asks for goes to the local cloud's own ARM, whose roles decide.

Source: azure-cli 2.91.0, azure/cli/core/_profile.py, azure/cli/command_modules/acr: import.py,
custom.py, _utils.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import httpx

from localcloud.builds import flags
from localcloud.builds.flags import Known
from localcloud.builds.job import BuildError, Log
from localcloud.directory import Principal
from localcloud.network import Network
from localcloud.registry.auth import TOKEN_USER
from localcloud.state import Json
from localcloud.tokens import Tokens

_ARM = "https://management.azure.com"
_REGISTRY = "Microsoft.ContainerRegistry/registries"
_VERSION = "2025-04-01"
_NOT_SIGNED_IN = "ERROR: Please run 'az login' to setup account."
_GLOBAL = Known(
    {"-o": "", "--output": "", "--query": "", "--subscription": "subscription"},
    {"--only-show-errors": "", "--debug": "", "--verbose": ""},
)


@dataclass(frozen=True, slots=True)
class Login:
    """`az login --identity`.

    Attributes:
        identity: The client id or resource id of the identity; empty for the system's own.
        alone: Whether an identity without any subscription may sign in.
    """

    identity: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """`az account set`; without a subscription, `az account show`."""

    subscription: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """`az acr import`.

    Attributes:
        name: The registry that images come into.
        source: The image.
        registry: Where it comes from, by name, host or resource id; empty if the image says so.
        tags: Its new names.
        untagged: The repositories that it comes into without a tag.
        force: Whether a tag that is there is moved.
        user: Who signs in to the source.
        password: With what.
        subscription: The subscription; empty for the one that is set.
    """

    name: str
    source: str
    registry: str = ""
    tags: tuple[str, ...] = ()
    untagged: tuple[str, ...] = ()
    force: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class AcrLogin:
    """`az acr login`: docker signs in to a registry."""

    name: str
    subscription: str = ""


type AzCommand = Login | Account | Import | AcrLogin


def parse(words: Sequence[str]) -> AzCommand:
    """Return what an `az` command asks for.

    Args:
        words: Its words, without `az`.

    Raises:
        BuildError: It is wrong, or not done here.
    """
    for name, read in _COMMANDS.items():
        known = name.split()
        if list(words[: len(known)]) == known:
            return read(list(words[len(known) :]))
    shown = itertools.takewhile(str.isalpha, words)
    raise BuildError(f"the local cloud does not do `{' '.join(('az', *shown))}`")


def _read(command: str, words: Sequence[str], known: Known) -> flags.Given:
    every = Known({**_GLOBAL.valued, **known.valued}, {**_GLOBAL.switches, **known.switches})
    given = flags.read(command, words, every)
    if given.arguments:
        raise BuildError(f"{command}: unrecognized arguments: {' '.join(given.arguments)}")
    return given


def _login(words: list[str]) -> AzCommand:
    names = ("-u", "--username", "--client-id", "--object-id", "--resource-id")
    known = Known(
        dict.fromkeys(names, "identity"),
        {"-i": "managed", "--identity": "managed", "--allow-no-subscriptions": "alone"},
    )
    given = _read("az login", words, known)
    if not given.on("managed"):
        raise BuildError("the local cloud does `az login` only with --identity")
    return Login(given.last("identity"), given.on("alone"))


def _account_set(words: list[str]) -> AzCommand:
    known = Known({"-s": "subscription", "-n": "subscription", "--name": "subscription"}, {})
    return Account(
        _required("az account set", _read("az account set", words, known), "subscription")
    )


def _account_show(words: list[str]) -> AzCommand:
    _read("az account show", words, Known({}, {}))
    return Account()


def _import(words: list[str]) -> AzCommand:
    known = Known(
        {
            "-n": "name",
            "--name": "name",
            "-g": "",
            "--resource-group": "",
            "--source": "source",
            "-r": "registry",
            "--registry": "registry",
            "-t": "tag",
            "--image": "tag",
            "--repository": "repository",
            "-u": "user",
            "--username": "user",
            "-p": "password",
            "--password": "password",
        },
        {"--force": "force", "--no-wait": ""},
    )
    given = _read("az acr import", words, known)
    if given.last("user") and not given.last("password"):
        raise BuildError("ERROR: Authentication failed. Please provide password.")
    return Import(
        _required("az acr import", given, "name"),
        _required("az acr import", given, "source"),
        given.last("registry"),
        tuple(given.all("tag")),
        tuple(given.all("repository")),
        given.on("force"),
        given.last("user"),
        given.last("password"),
        given.last("subscription"),
    )


def _acr_login(words: list[str]) -> AzCommand:
    known = Known({"-n": "name", "--name": "name", "-g": "", "--resource-group": ""}, {})
    given = _read("az acr login", words, known)
    return AcrLogin(_required("az acr login", given, "name"), given.last("subscription"))


_COMMANDS: Mapping[str, Callable[[list[str]], AzCommand]] = {
    "login": _login,
    "account set": _account_set,
    "account show": _account_show,
    "acr import": _import,
    "acr login": _acr_login,
}


def _required(command: str, given: flags.Given, name: str) -> str:
    value = given.last(name)
    if not value:
        raise BuildError(f"{command}: the following arguments are required: --{name}")
    return value


class AzCli:
    """The Azure CLI of one run: who is signed in lasts from one step to the next.

    Args:
        network: Where ARM is.
        tokens: Who gives tokens.
        find: Returns the identity of the task that a name means; it raises BuildError.
        exchange: Returns a registry's password for an identity; None if it may do nothing there.
        credentials: What docker signs in with, by host; `az acr login` adds to it.
        log: The run's log.
    """

    def __init__(
        self,
        network: Network,
        tokens: Tokens,
        find: Callable[[str], Principal],
        exchange: Callable[[str, Principal], str | None],
        credentials: MutableMapping[str, tuple[str, str]],
        log: Log,
    ) -> None:
        self._network = network
        self._tokens = tokens
        self._find = find
        self._exchange = exchange
        self._credentials = credentials
        self._log = log
        self._who: Principal | None = None
        self._subscription = ""

    def run(self, command: AzCommand) -> None:
        """Do what a command asks for.

        Raises:
            BuildError: In the Azure CLI's words.
        """
        if self._who is None and not isinstance(command, Login):
            raise BuildError(_NOT_SIGNED_IN)
        match command:
            case Login():
                self._login(command)
            case Account():
                self._account(command)
            case Import():
                self._import(command)
            case AcrLogin():
                self._acr_login(command)

    @property
    def _signed_in(self) -> Principal:
        if self._who is None:
            raise BuildError(_NOT_SIGNED_IN)
        return self._who

    def _login(self, command: Login) -> None:
        self._who = self._find(command.identity)
        known = self._subscriptions()
        if not known and not command.alone:
            self._who = None
            raise BuildError(
                "ERROR: No access was configured for the managed identity, hence no subscriptions"
                " were found. If this is expected, use '--allow-no-subscriptions' to have tenant"
                " level access."
            )
        self._subscription = str(known[0]["subscriptionId"]) if known else ""
        self._log(f"az: signed in with the task's identity {self._signed_in.name}")

    def _account(self, command: Account) -> None:
        if not command.subscription:
            self._log(f"az: {self._signed_in.name} in subscription {self._subscription}")
            return
        self._subscription = self._chosen(command.subscription)

    def _chosen(self, wanted: str) -> str:
        """Return the id of a subscription that is named; of none, of the one that is set."""
        if not wanted:
            return self._subscription
        for known in self._subscriptions():
            if wanted.lower() in (known["subscriptionId"].lower(), known["displayName"].lower()):
                return str(known["subscriptionId"])
        raise BuildError(
            f"ERROR: The subscription of '{wanted}' doesn't exist in cloud 'AzureCloud'."
        )

    def _subscriptions(self) -> list[Json]:
        return self._every("/subscriptions", "2022-12-01")

    def _registries(self, subscription: str) -> list[Json]:
        path = f"/subscriptions/{subscription}/providers/{_REGISTRY}"
        return self._every(path) if subscription else []

    def _every(self, path: str, version: str = _VERSION) -> list[Json]:
        """Return what a list of ARM holds, page after page."""
        found: list[Json] = []
        url: str | None = f"{_ARM}{path}?api-version={version}"
        while url:
            page = self._ask("GET", url)
            found += page["value"]
            url = page.get("nextLink")
        return found

    def _registry(self, name: str, subscription: str) -> Json:
        for known in self._registries(subscription):
            if known["name"].lower() == name.lower():
                return known
        raise BuildError(
            f"ERROR: The resource with name '{name}' and type '{_REGISTRY}' could not be found in"
            f" subscription '{subscription}'."
        )

    def _import(self, command: Import) -> None:
        subscription = self._chosen(command.subscription)
        target = self._registry(command.name, subscription)
        source, image = self._source(command, subscription)
        tags = list(command.tags)
        if not tags and not command.untagged:
            tags = [image.partition("@")[0]]
        body = {
            "source": {**source, "sourceImage": image},
            "targetTags": tags,
            "untaggedTargetRepositories": list(command.untagged),
            "mode": "Force" if command.force else "NoForce",
        }
        self._ask("POST", f"{_ARM}{target['id']}/importImage?api-version={_VERSION}", body)
        self._log(f"az: imported {command.source} into {target['properties']['loginServer']}")

    def _source(self, command: Import, subscription: str) -> tuple[Json, str]:
        """Return where an image comes from, and what it is called there."""
        given, image = command.registry, command.source
        if given.lower().startswith("/subscriptions/"):
            return {"resourceId": given}, image
        host = given
        if not given:
            host, slash, rest = image.partition("/")
            if not slash or "." not in host:
                raise BuildError(
                    "ERROR: Source cannot be found. Please provide a valid image and source"
                    " registry or a fully qualified source."
                )
            image = rest
        if command.password and not given:
            credentials = {"username": command.user, "password": command.password}
            return {"registryUri": host, "credentials": credentials}, image
        for known in self._registries(subscription):
            server = str(known["properties"]["loginServer"])
            if host.lower() in (server.lower(), *([known["name"].lower()] if given else [])):
                return {"resourceId": known["id"]}, image.removeprefix(f"{server}/")
        if given:
            raise BuildError(
                "ERROR: The source container registry can not be found in the current subscription."
                " Please provide a valid address and/or credentials."
            )
        return {"registryUri": host}, image

    def _acr_login(self, command: AcrLogin) -> None:
        registry = self._registry(command.name, self._chosen(command.subscription))
        host = str(registry["properties"]["loginServer"])
        password = self._exchange(host, self._signed_in)
        if password is None:
            raise BuildError(
                f"ERROR: Could not connect to the registry login server '{host}'. Challenge"
                " endpoint responded: 401 Unauthorized"
            )
        self._credentials[host] = (TOKEN_USER, password)
        self._log("Login Succeeded")

    def _ask(self, method: str, url: str, body: Json | None = None) -> Json:
        """Send ARM a request, and wait for what it does; return its answer."""
        headers = {"Authorization": f"Bearer {self._tokens.issue(self._signed_in, _ARM)}"}
        with self._network.client(timeout=60) as http:
            try:
                answer = http.request(method, url, json=body, headers=headers)
                location = answer.headers.get("location")
                if answer.status_code == httpx.codes.ACCEPTED and location:
                    answer = http.get(location, headers=headers)
            except httpx.HTTPError as error:
                raise BuildError(f"ERROR: {error}") from error
        if answer.is_error:
            told = answer.json()["error"]
            raise BuildError(f"ERROR: ({told['code']}) {told['message']}")
        found: Json = answer.json() if answer.content else {}
        return found
