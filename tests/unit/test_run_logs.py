"""What is kept of a log: bounded, escaped, without secrets."""

from __future__ import annotations

import base64
import secrets

import pytest

from rebuilder.core.failures.run_logs import KEPT_BYTES, end, lines, masked, shown
from rebuilder.core.shown import escaped

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("GET https://me:hunter2@example.com/x", "hunter2"),
        ("clone https://ghp_0123456789abcdefghij0123456789abcdef@github.com/a/b", "ghp_"),
        ("push me:hunter2@registry.example.com", "hunter2"),
        ("Authorization: Bearer abc.def", "abc"),
        ('{"authorization": "Basic bWU6aHVudGVyMg=="}', "bWU6"),
        ("> Proxy-Authorization: Basic bWU6aHVudGVyMg==", "bWU6"),
        ("using bearer bWU6aHVudGVyMg==", "bWU6"),
        ("GET /a.tgz?sv=2024-11-04&se=2026-01-01&sig=AbC%2Fd3f%3D HTTP/1.1", "AbC"),
        ("sig=AbC%2Fd3f%3D", "AbC"),
        ("NPM_TOKEN=npm_0123456789abcdefghijklmnopqrstuvwxyz", "npm_"),
        ("export DB_PASSWORD='correct horse'", "correct"),
        ("MY_SECRET_KEY=short", "short"),
        ("password: hunter22", "hunter22"),
        ('"client_secret": "s3cr3t~value"', "s3cr3t"),
        ('{"token":"opaque"}', "opaque"),
        ("AccountKey=bWU6aHVudGVyMg==;EndpointSuffix=core.windows.net", "bWU6"),
        ("docker login registry.example.com -u me -p hunter2", "hunter2"),
        ("curl --access-token hunter2 https://example.com", "hunter2"),
        ("mysql --password hunter2", "hunter2"),
        (f"token is {JWT}", "eyJ"),
        ("key AKIA0123456789ABCDEF", "AKIA0"),
        ("glpat-0123456789abcdefghij", "0123456789"),
        ("dckr_pat_0123456789abcdefghij", "0123456789"),
        ("xoxb-0123456789-abcdef", "0123456789"),
        ("pat abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst", "abcdefghij"),
        ("sk-proj0123456789abcdefghij", "0123456789"),
        ("Ab3" * 20, "Ab3"),
        ("//registry.npmjs.org/:_authToken=abc123", "abc123"),
        ("Set-Cookie: session=abc123; path=/", "abc123"),
    ],
)
def test_what_looks_like_a_secret_is_masked(line: str, secret: str) -> None:
    """By its place, its name or its form."""
    assert secret in line
    assert secret not in masked(line)
    assert "***" in masked(line)


def test_random_keys_are_masked() -> None:
    """Of the lengths that services give out, as Base64 and as URL-safe Base64."""
    for size in (24, 32, 48, 64, 66):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            key = encode(secrets.token_bytes(size)).decode()
            if ("/" in key and not key.endswith("=")) or not any(map(str.isdigit, key)):
                continue  # looks like a path, or a word; behind a name it is masked all the same
            assert key.rstrip("=") not in masked(f"the key {key} is wrong")
            assert key not in masked(f"AccountKey={key}")


@pytest.mark.parametrize(
    "line",
    [
        "mybase.azurecr.io/images/node:9@" + DIGEST,
        f"Digest: {DIGEST}",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "Using acb_vol_75c4b778-fa03-4499-9288-cf2e8a3c5416 as the home volume",
        "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
        "failed to set docker credentials: Error response from daemon: Get",
        "https://auth.docker.io/token?scope=repository%3Alibrary%2Fubuntu%3Apull&service=x",
        "/usr/local/lib/python3.13/site-packages/Contoso/Something/VeryLong1.py",
        "unauthorized: authentication required, visit https://aka.ms/acr/authorization",
        "npm ERR! code ELIFECYCLE",
        "toomanyrequests: You have reached your pull rate limit.",
        "user me@example.com",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    """Digests, commits, addresses and sentences are what a person looks for."""
    assert masked(line) == line


def test_a_private_key_is_left_out() -> None:
    """All of its lines, and what stands around it stays."""
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"

    assert end(f"before\n#9 0.1 {key}\nafter") == "before\n*** (a private key)\nafter"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x07b", "a\\x07b"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("a\ud800b", "a\\ud800b"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("a\u2028b", "a\\u2028b"),
        ("ü 漢字 🙂", "ü 漢字 🙂"),
    ],
)
def test_what_a_terminal_would_obey_is_seen(text: str, seen: str) -> None:
    """Control characters, marks of direction, half characters; letters stay letters."""
    assert escaped(text) == seen
    assert escaped(text).encode()


def test_a_line_is_what_stays_on_the_screen() -> None:
    """Colours and what a carriage return overwrote are gone, and so is progress."""
    log = (
        "\x1b[91mred\x1b[0m\r\n 10%\r 50%\r100%\n581c38738922: Preparing\n"
        "#5 sha256:" + "a" * 64 + " 1MB / 2MB\n\n\x1b]0;title\x07 done"
    )

    assert lines(log) == ["red", "100%", "\x07 done"]
    assert end(log) == "red\n100%\n\\x07 done"


def test_the_last_lines_are_kept() -> None:
    """Four kilobytes of UTF-8, whole lines, each cut to a length."""
    kept = end("\n".join(f"line {number} " + "ü" * 1000 for number in range(100)))

    assert len(kept.encode()) <= KEPT_BYTES
    assert kept.splitlines()[-1].startswith("line 99 ü")
    assert all(len(line) <= 500 and line.endswith("...") for line in kept.splitlines())
    assert end("") == ""


def test_what_is_shown_is_cut_after_it_is_masked() -> None:
    """A secret that is cut in two would not be known for one."""
    line = "x" * 260 + " password=" + "s3cret" * 20

    assert "s3" not in shown(line)
    assert len(shown("y" * 1000)) == 300
    assert shown("a\tb") == "a b"
