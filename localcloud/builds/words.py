"""What a log ends with when a run fails, in docker's and the agent's words.

The builders here say it in their own, which no reader of ACR's logs has ever seen.

Sources: docker's engine (distribution errors), Azure/acr-builder (builder, pkg/procmanager), and
logs in Azure/azure-cli issues 19845 and 27253, Azure/acr issue 84, azure-sdk-for-net issue 22827.
"""

from __future__ import annotations

import json
import re

_STEP = re.compile(r"failed to run step ID: (\S+): (.*)", re.DOTALL)
_AUTHORIZE = (
    "unauthorized: authentication required, visit https://aka.ms/acr/authorization for more"
    " information."
)

# The embedded builder's client: method, address, status and body.
_ANSWER = re.compile(r"(GET|HEAD|PUT|POST) https://([^/]+)/v2/(\S+?)/(manifests|blobs)/(\S*): (.*)")
_NO_TOKEN = re.compile(
    r"unauthorized: (?:(\S+) refuses)?.*?repository:([^:]+):(\S+?)(?: at (\S+))?$"
)

# buildah: `initializing source docker://IMAGE: ...` and `writing manifest: ... to IMAGE: ...`.
_SOURCE = re.compile(r"initializing source docker://(\S+?): (.*)", re.DOTALL)
_TARGET = re.compile(
    r"(?:writing manifest|trying to reuse blob|writing blob|initializing destination docker://)"
    r".*?: (?P<why>(?:unknown|denied|unauthorized|toomanyrequests|authentication required).*)",
    re.DOTALL,
)


def ending(error: str) -> list[str]:
    """Return the last lines of a log, but for the very last one, for why a run failed.

    Args:
        error: Why, in a builder's words, behind the step that failed, if one did.
    """
    match = _STEP.fullmatch(error)
    if match is None or match[2].startswith("timed out"):
        return [error]
    step, why = match[1], match[2]
    if pushing := _pushing(why):
        return [pushing, f"failed to run step ID: {step}: failed to push images successfully"]
    return [
        _pulling(why) or why,
        f"Container failed during run: {step}. No retries remaining.",
        f"failed to run step ID: {step}: exit status 1",
    ]


def _pulling(why: str) -> str:
    """Return docker's words for an image that could not be pulled; "" if it is something else."""
    if match := _ANSWER.search(why):
        method, host, repository, _, reference, answer = match.groups()
        if method in ("GET", "HEAD"):
            image = _image(host, repository, reference)
            return _refused(image, answer[:3], _message(answer))
    if match := _NO_TOKEN.search(why):
        return f'Head "https://{match[1] or match[4]}/v2/{match[2]}/manifests/latest": {_AUTHORIZE}'
    if match := _SOURCE.search(why):
        image, said = match[1], match[2].strip()
        for status, words in (
            ("404", ("manifest unknown", "name unknown", "not found")),
            ("429", ("toomanyrequests",)),
            ("401", ("unauthorized", "authentication required", "denied", "invalid username")),
        ):
            if any(word in said for word in words):
                return _refused(image, status, said.rpartition("unknown: ")[2] or said)
    return ""


def _pushing(why: str) -> str:
    """Return docker's words for an image that could not be pushed; "" if it is something else."""
    if match := _ANSWER.search(why):
        method, _, _, _, reference, answer = match.groups()
        if method in ("PUT", "POST") or reference.startswith("uploads/"):
            return _not_taken(answer[:3], _message(answer))
    if (match := _NO_TOKEN.search(why)) and "push" in match[3]:
        return _AUTHORIZE
    if match := _TARGET.search(why):
        said = match["why"].strip()
        return f"unauthorized: {said}" if said.startswith("authentication") else said
    return ""


def _refused(image: str, status: str, said: str) -> str:
    host, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    if status == "404":
        unknown = f"manifest unknown: {said}"
        return f"manifest for {image} not found: {unknown}"
    if status == "429":
        return f"toomanyrequests: {said.removeprefix('toomanyrequests: ')}"
    if status in ("401", "403"):
        return f'Head "https://{host}/v2/{repository}/manifests/{tag}": {_AUTHORIZE}'
    return f"received unexpected HTTP status: {status}" if status.startswith("5") else ""


def _not_taken(status: str, said: str) -> str:
    if status == "401":
        return _AUTHORIZE
    if status == "403":
        return "denied: requested access to the resource is denied"
    if status.startswith("5"):
        return f"received unexpected HTTP status: {status}"
    return f"unknown: {said}"


def _image(host: str, repository: str, reference: str) -> str:
    name = repository if host == "registry-1.docker.io" else f"{host}/{repository}"
    return f"{name.removeprefix('library/')}:{reference}"


def _message(answer: str) -> str:
    """Return what a registry said in the form of the distribution specification."""
    _, _, body = answer.partition(" ")
    try:
        return str(json.loads(body)["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return body
