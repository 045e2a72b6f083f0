from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rebuilder.core.acr.images import (
    annotations_of,
    config_of,
    diff_ids,
    digest_of,
    entry_for,
    layers,
)
from rebuilder.errors import Refused

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(ONE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def entry(digest: str, **platform: object) -> dict[str, object]:
    """Return an index's entry."""
    return {"digest": digest, "platform": platform}


def test_the_entry_of_a_platform() -> None:
    """By system and architecture, and by variant where one is asked for."""
    index = {
        "manifests": [
            {"digest": ONE},
            {"digest": ONE, "platform": 7},
            entry(ONE, os=7, architecture=["amd64"]),
            entry(ONE, os="linux", architecture="arm", variant="v6"),
            entry(TWO, os="linux", architecture="arm", variant="v7"),
        ]
    }

    assert entry_for(index, "linux/arm/v7") == index["manifests"][4]
    assert entry_for(index, "linux/arm") == index["manifests"][3]
    assert entry_for(index, "linux/amd64") is None
    assert entry_for({}, "linux/amd64") is None


def test_what_an_image_says() -> None:
    """Its layers, its configuration with the size that it is said to have, its annotations."""
    manifest = {
        "layers": [{"digest": ONE}, {"digest": TWO}],
        "config": {"digest": ONE, "size": 7},
        "annotations": {"a": "b"},
    }

    assert layers(manifest) == (ONE, TWO)
    assert config_of(manifest) == (ONE, 7)
    assert annotations_of(manifest) == {"a": "b"}
    assert (layers({}), config_of({}), annotations_of({})) == ((), None, {})


@pytest.mark.parametrize("size", [None, "7", True, [], 1.5])
def test_a_size_that_is_none_is_not_believed(size: object) -> None:
    """What is read is counted anyway."""
    assert config_of({"config": {"digest": ONE, "size": size}}) == (ONE, 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"rootfs": {"type": "layers", "diff_ids": [ONE, TWO]}}, (ONE, TWO)),
        ({"rootfs": {"diff_ids": [ONE, 2]}}, ()),
        ({"rootfs": {"diff_ids": [ONE, "x"]}}, ()),
        ({"rootfs": {"diff_ids": 5}}, ()),
        ({"rootfs": {}}, ()),
        ({"rootfs": [1]}, ()),
        ({}, ()),
        (["a", "chart"], ()),
        (7, ()),
    ],
)
def test_what_a_configuration_proves(config: object, expected: tuple[str, ...]) -> None:
    """The layers before they were compressed, or nothing."""
    assert diff_ids(json.dumps(config).encode()) == expected


@pytest.mark.parametrize("config", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_configuration_proves_nothing(config: bytes) -> None:
    """However it is broken."""
    assert diff_ids(config) == ()


@given(st.dictionaries(st.sampled_from(["manifests", "layers", "config", "annotations"]), JSON))
def test_no_manifest_raises_anything_but_a_refusal(manifest: dict[str, Any]) -> None:
    """Whatever its fields are."""
    for read in (layers, config_of, annotations_of, lambda m: entry_for(m, "linux/amd64")):
        try:
            read(manifest)
        except Refused as error:
            assert error.code == "INVALID_IMAGE"  # noqa: PT017


@given(JSON)
def test_no_digest_and_no_configuration_raises_anything_else(value: object) -> None:
    """Whatever stands where one should be."""
    assert isinstance(diff_ids(json.dumps(value).encode()), tuple)
    try:
        assert digest_of(value, "it") == value
    except Refused as error:
        assert len(str(error)) < 1000  # noqa: PT017
