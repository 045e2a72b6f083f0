"""Whom messages go to, as a setting names them; nothing that is told of it holds a secret."""

from __future__ import annotations

import pytest

from rebuilder.core.messages.destinations import Destination, Kind, read_destinations

SECRET = "S3CRET-S3CRET-S3CRET"


def read(text: str) -> tuple[tuple[Destination, ...], list[str]]:
    """Return what is read, and what is wrong with it."""
    problems: list[str] = []
    return read_destinations(text, "REBUILDER_DESTINATIONS", problems), problems


def test_destinations_are_read() -> None:
    """Apprise's addresses, HTTPS with a secret or an audience, topics; none shows what it is."""
    found, problems = read(
        '{"team": "slack://a/b/c", "flux": {"url": "https://f.example.com/h?x=y", "secret":'
        f' "{SECRET}"}}, "gate": {{"url": "https://g.example.com", "audience": "api://gate"}},'
        ' "grid": {"topic": "https://t.westeurope-1.eventgrid.azure.net/api/events"}}'
    )
    assert problems == []
    assert [(d.name, d.kind) for d in found] == [
        ("team", Kind.PEOPLE),
        ("flux", Kind.SIGNED),
        ("gate", Kind.BEARER),
        ("grid", Kind.TOPIC),
    ]
    assert found[1].key == SECRET
    assert SECRET not in repr(found)
    assert "slack" not in repr(found)
    assert read("") == ((), [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@Microsoft.KeyVault(SecretUri=https://v)", "is a Key Vault reference that was not"),
        (f"[{SECRET}", "write a JSON object of names"),
        (f'{{"{SECRET}!": "slack://x"}}', "the entry number 1: name it with lower-case letters"),
        (f'{{"a": "{SECRET}"}}', "the entry 'a': write a JSON object of names"),
        (f'{{"a": {{"url": "http://x.example.com", "secret": "{SECRET}"}}}}', "the entry 'a'"),
        (f'{{"a": {{"url": "https://u:p@x.y", "secret": "{SECRET}"}}}}', "the entry 'a'"),
        ('{"a": {"url": "https://[x", "audience": "b"}}', "the entry 'a'"),
        ('{"a": {"url": "https://x.example.com", "secret": "short"}}', "a secret has 16"),
        ('{"a": {"url": "https://x.example.com"}}', "the entry 'a'"),
        ('{"a": {"url": "https://x.y", "audience": "b", "secret": "c"}}', "the entry 'a'"),
        ('{"a": {"topic": "https://x.y", "key": "c"}}', "the entry 'a'"),
        ('{"a": 1}', "the entry 'a'"),
    ],
)
def test_what_is_wrong_is_told_without_it(text: str, words: str) -> None:
    """By the name of the entry, and what would be right."""
    found, (problem,) = read(text)
    assert found == ()
    assert words in problem
    assert problem.startswith("REBUILDER_DESTINATIONS")
    assert SECRET not in problem
