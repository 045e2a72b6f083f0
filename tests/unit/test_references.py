from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rebuilder.core.acr.references import ImageReference
from rebuilder.errors import InvalidReference

SHA256 = "sha256:" + "f" * 64
SHA512 = "sha512:" + "f" * 128


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("node", "docker.io/library/node:latest"),
        ("node:9-alpine", "docker.io/library/node:9-alpine"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/node", "docker.io/library/node:latest"),
        ("index.docker.io/node:1", "docker.io/library/node:1"),
        ("registry-1.docker.io/library/node:1", "docker.io/library/node:1"),
        ("registry.hub.docker.com/library/node:1", "docker.io/library/node:1"),
        ("registry.hub.docker.com/node:1", "docker.io/library/node:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("test.com:5000", "docker.io/library/test.com:5000"),
        ("192.168.1.1:5000/repo:5050", "192.168.1.1:5000/repo:5050"),
        ("[2001:DB8::1]:5000/repo", "[2001:db8::1]:5000/repo:latest"),
        ("xn--n3h.com/app:xn--n3h.com", "xn--n3h.com/app:xn--n3h.com"),
        (f"node@{SHA256}", f"docker.io/library/node@{SHA256}"),
        (f"node:9@{SHA256}", f"docker.io/library/node:9@{SHA256}"),
        (f"reg.io/a/b__c/d--e:T.1@{SHA512}", f"reg.io/a/b__c/d--e:T.1@{SHA512}"),
        ("MyBase.AzureCR.io/node:9", "mybase.azurecr.io/node:9"),
        ("mybase.westeurope.geo.azurecr.io/node:9", "mybase.azurecr.io/node:9"),
        ("MYBASE.eastus2.GEO.azurecr.us/node:9", "mybase.azurecr.us/node:9"),
        ("mybase.chinaeast2.geo.azurecr.cn/node:9", "mybase.azurecr.cn/node:9"),
        ("mybase-a1b2c3.azurecr.io/node:9", "mybase-a1b2c3.azurecr.io/node:9"),
        ("mybase-a1b2c3.westus.geo.azurecr.io/node", "mybase-a1b2c3.azurecr.io/node:latest"),
        ("UPPER/node", "UPPER/node:latest"),
        ("a" * 128 + ".io/" + "b" * 255, "a" * 128 + ".io/" + "b" * 255 + ":latest"),
    ],
)
def test_normalises(text: str, normalised: str) -> None:
    """A reference is read as Docker reads it, and an ACR's names are one name."""
    assert str(ImageReference.parse(text)) == normalised


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("f" * 64, "image id"),
        (":justtag", "lower-case letters"),
        (f"@{SHA256}", "lower-case letters"),
        ("Uppercase:tag", "must be lower case"),
        ("test:5000/Uppercase/app", "must be lower case"),
        ("aa/asdf$$^/aa", "lower-case letters"),
        ("a//b", "lower-case letters"),
        ("a_-b", "lower-case letters"),
        ("-a.com/b", "not a host name"),
        ("a.com:port/b", "not a host name"),
        ("[fe80::1%eth0]:5000/repo", "not a host name"),
        ("app:", "the tag"),
        ("app:.tag", "128 letters"),
        ("app:" + "t" * 129, "128 letters"),
        ("a.com/" + "b" * 256, "longer than 255"),
        ("app@", "is not ALGORITHM:HEX"),
        ("app@sha256:" + "f" * 34, "64 lower-case"),
        ("app@sha256:" + "F" * 64, "64 lower-case"),
        ("app@md5:" + "f" * 32, "is none of"),
    ],
)
def test_refuses(text: str, problem: str) -> None:
    """A text outside the grammar is refused with the part that is wrong."""
    with pytest.raises(InvalidReference, match=problem):
        ImageReference.parse(text)


def test_repository_and_digest_are_apart() -> None:
    """The repository of a reference has neither tag nor digest, and a digest can be replaced."""
    reference = ImageReference.parse(f"reg.io/app:1@{SHA256}")

    assert reference.repository == "reg.io/app"
    assert str(reference.at(None)) == "reg.io/app:1"
    assert str(reference.at(SHA512)) == f"reg.io/app:1@{SHA512}"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("registry.hub.docker.com", "library/node", "9", ""), "docker.io/library/node:9"),
        (("Base.azurecr.io", "node", "", SHA256), f"base.azurecr.io/node@{SHA256}"),
        (("base.azurecr.io", "node", "9", SHA256), f"base.azurecr.io/node:9@{SHA256}"),
        (("base.azurecr.io", "node", "", ""), "base.azurecr.io/node:latest"),
    ],
)
def test_reads_separate_fields(parts: tuple[str, str, str, str], expected: str) -> None:
    """The separate fields of ARM's records make the same references."""
    assert str(ImageReference.from_parts(*parts)) == expected


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (("", "node", "9", ""), "host name"),
        (("base.azurecr.io", "Node", "9", ""), "lower case"),
        (("base.azurecr.io", "node", "!", ""), "the tag"),
        (("base.azurecr.io", "node", "9", "sha256:x"), "the digest"),
    ],
)
def test_refuses_separate_fields(parts: tuple[str, str, str, str], problem: str) -> None:
    """Each separate field is checked."""
    with pytest.raises(InvalidReference, match=problem):
        ImageReference.from_parts(*parts)


COMPONENT = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)


@given(
    host=st.from_regex(r"[a-z0-9]{1,8}\.[a-z]{2,5}(:[0-9]{1,5})?", fullmatch=True),
    path=st.lists(COMPONENT, min_size=1, max_size=4).map("/".join),
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    pinned=st.booleans(),
)
def test_a_normalised_reference_reads_as_itself(
    host: str, path: str, tag: str, *, pinned: bool
) -> None:
    """Normalising is idempotent."""
    text = f"{host}/{path}:{tag}" + (f"@{SHA256}" if pinned else "")
    once = ImageReference.parse(text)

    assert ImageReference.parse(str(once)) == once


@example("A/0")
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but InvalidReference."""
    try:
        once = ImageReference.parse(text)
    except InvalidReference:
        return
    assert ImageReference.parse(str(once)) == once
