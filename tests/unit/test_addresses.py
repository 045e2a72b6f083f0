from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder._net.addresses import authority, split_address, target
from rebuilder._net.sign_in import Challenge, read_challenge, read_token
from rebuilder.errors import SourceUnavailable

HERE = "https://good.example/a/b"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Good.Example/x", "good.example"),
        ("https://good.example:443/x", "good.example"),
        ("https://good.example:8443/x", "good.example:8443"),
        ("https://my_account.blob.core.windows.net/x", "my_account.blob.core.windows.net"),
        ("https://[FD00::1]/x", "[fd00::1]"),
        ("https://[fd00::1]:8443/x", "[fd00::1]:8443"),
        ("https://10.0.0.1/x y", "10.0.0.1"),
        ("https:///x", ""),
    ],
)
def test_the_host_of_an_address(url: str, host: str) -> None:
    """It is compared with lists, so it is lower case and without the port that is meant anyway."""
    assert authority(url) == host


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://[evil/t", "cannot be read"),
        ("https://[evil]/t", "cannot be read"),
        ("https://[v1.x]/t", "a host that is none"),
        ("https://good.example℀evil/t", "cannot be read"),
        # A slash of full width, Cyrillic letters, a ligature, an ideographic full stop.
        ("https://good.example\uff0fevil.example/t", "cannot be read"),
        ("https://g\u043e\u043ed.example/t", "a host that is none"),
        ("https://\ufb01les.example/t", "a host that is none"),
        ("https://good\u3002example/t", "a host that is none"),
        ("https://good.example\\@evil.example/t", "a host that is none"),
        ("https://good.exa\tmple/t", "a host that is none"),
        ("https://good.example\x00/t", "a host that is none"),
        ("https://good example/t", "a host that is none"),
        ("https://good.example%2eevil/t", "a host that is none"),
        ("https://-good.example/t", "a host that is none"),
        ("https://fe80::1%eth0/t", "a port that is none"),
        ("https://[fe80::1%eth0]/t", "a host that is none"),
        ("https://good.example:port/t", "a port that is none"),
        ("https://good.example:99999/t", "a port that is none"),
        ("https://good.example/" + "x" * 9000, "longer than 8192"),
    ],
)
def test_an_address_that_could_be_read_in_two_ways(url: str, reason: str) -> None:
    """Whatever a server names ends in a host or in an error of ours."""
    with pytest.raises(SourceUnavailable, match=reason):
        authority(url)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "https://good.example/x"),
        ("c?d", "https://good.example/a/c?d"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example/x", "http://other.example/x"),
    ],
)
def test_a_redirect_is_read_from_where_it_stands(location: str, url: str) -> None:
    """It may be relative."""
    assert target(HERE, location) == url


@pytest.mark.parametrize("location", ["https://[evil/", "//[evil/", "https://good.example℀evil/"])
def test_a_redirect_that_leads_nowhere(location: str) -> None:
    """It is an error of ours."""
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        target(HERE, location)


@given(st.text(), st.sampled_from(["", "https://", "//", "https://good.example", "https://[::1"]))
def test_no_address_raises_anything_else(text: str, before: str) -> None:
    """Neither taken apart nor as a redirect."""
    for read in (authority, split_address, lambda url: target(HERE, url)):
        try:
            read(before + text)
        except SourceUnavailable:
            continue


REALM = "https://auth.example/token"


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ("", Challenge()),
        ("Basic realm=x", Challenge("basic")),
        (f'Bearer realm="{REALM}"', Challenge("bearer", REALM)),
        (
            f'BEARER Realm="{REALM}",service="s",Scope="repository:a:pull"',
            Challenge("bearer", REALM, "s", "repository:a:pull"),
        ),
        ('Bearer realm="http://auth.example/token"', Challenge("bearer")),
        ('Bearer realm="file:///etc"', Challenge("bearer")),
        ("Bearer " + "a" * 70_000, Challenge()),
        (f'Bearer realm="{REALM}",' + "x" * 3000, Challenge("bearer", REALM)),
    ],
)
def test_what_a_challenge_asks_for(header: str, challenge: Challenge) -> None:
    """The parameters that matter; tokens come from https addresses alone."""
    assert read_challenge(header) == challenge


@given(st.text())
def test_no_challenge_raises(header: str) -> None:
    """Whatever stands in the header."""
    assert isinstance(read_challenge(header), Challenge)


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b'{"token": "t"}', "t"),
        (b'{"access_token": "a"}', "a"),
        (b'{"token": "", "access_token": "a"}', "a"),
        (b'{"token": "t", "access_token": "a"}', "t"),
        (b"{}", None),
        (b"[]", None),
        (b"no json", None),
        (b"[" * 100_000, None),
        (b'{"token": ' + b"9" * 5000 + b"}", None),
        (b'{"token": 7}', None),
        (b'{"token": ["t"]}', None),
        (b'{"token": "a\\r\\nHost: evil"}', None),
        (b'{"token": "\\ud800"}', None),
        ('{"token": "ü"}'.encode(), None),
        (b'{"token": "' + b"t" * 300_000 + b'"}', None),
    ],
)
def test_the_token_of_an_answer(body: bytes, token: str | None) -> None:
    """What could not stand in a header is none."""
    assert read_token(body, ("token", "access_token")) == token
