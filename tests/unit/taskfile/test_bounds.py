"""What grows while a file is read has an end."""

from __future__ import annotations

import json

import pytest

from tests.unit.taskfile.reading import images, steps, told


@pytest.mark.parametrize("function", ["add $n $n", "add1 $n", "sub $n 1"])
def test_numbers_are_go_s(function: str) -> None:
    """They begin anew at the other end, and never grow longer than a line."""
    ranges = "{{ range until 9 }}" * 1
    text = "{{ $n := 9223372036854775807 }}" + ranges
    text += f"{{{{ $n = {function} }}}}" + "{{ end }}{{ $n }}"
    found = steps(f"- cmd: mybase.azurecr.io/tool:1 {text}")

    assert len(told(found)) < 10_000


def test_a_number_that_begins_anew() -> None:
    """As int64 does in Go."""
    found = steps("- cmd: mybase.azurecr.io/tool:{{ add 9223372036854775807 1 | sub 0 }}x")

    assert "9223372036854775808" not in " ".join(images(found))


def test_five_thousand_digits_are_no_number() -> None:
    """They are told as what is not worked out, whatever Python thinks of them."""
    found = steps(f"- cmd: mybase.azurecr.io/tool:{{{{ {'1' * 5000} }}}}")

    assert found is not None


def test_targets_that_inherit_many_times_are_joined_once() -> None:
    """Nine parents each, twelve times over, are 108 and not nine to the twelfth."""
    targets: dict[str, object] = {
        f"t{level}-{number}": {"inherits": [f"t{level + 1}-{n}" for n in range(9)]}
        for level in range(12)
        for number in range(9)
    }
    targets |= {f"t12-{n}": {"args": {f"A{n}": "1"}} for n in range(9)}
    targets["app"] = {"inherits": ["t0-0"], "tags": ["myapps.azurecr.io/a:1"]}
    found = steps(
        "- cmd: docker buildx bake --push app",
        {
            "docker-bake.json": json.dumps({"target": targets}),
            "Dockerfile": "FROM mybase.azurecr.io/n:1\n",
        },
    )

    assert images(found) == ["mybase.azurecr.io/n:1 runtime"]
    assert found.builds[0].arguments == {f"A{n}": "1" for n in range(9)}
