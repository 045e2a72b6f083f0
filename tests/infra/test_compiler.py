"""The committed templates and snapshots are what the sources say."""

from __future__ import annotations

import re

import pytest

from tests.infra.templates import INFRA, read
from tools import infra


def test_what_is_committed_was_made_of_these_sources() -> None:
    """No source and no template was changed by hand since `make infra`."""
    kept = read("sources.json")

    assert kept["sources"] == infra.sources()
    assert kept["made"] == infra.outputs()


@pytest.mark.timeout(1800)  # a dozen starts of a large program, beside other tests
def test_the_compiler_agrees() -> None:
    """Where a compiler is, it has nothing to say and builds the same; else the hashes prove it."""
    bicep = infra.compiler()
    if bicep is None:
        assert read("sources.json") == {"sources": infra.sources(), "made": infra.outputs()}
        return

    assert infra.problems(bicep) == []
    for name in infra.TEMPLATES:
        built = infra.run(bicep, "build", f"{name}.bicep", "--stdout")
        assert built.stderr == ""
        ours = (INFRA / f"{name}.json").read_text("utf-8")
        # Another version of the compiler writes another name of itself, and a hash of all.
        assert _plain(built.stdout) == _plain(ours)
    for name in infra.PARAMETERS:
        checked = infra.snapshot(bicep, name, "validate")
        assert checked.returncode == 0, checked.stdout


def _plain(text: str) -> str:
    return re.sub(r'"(version|templateHash)": "[^"]*"', "", text).strip()


def test_every_parameter_and_output_is_described() -> None:
    """Descriptions begin as those of Azure Verified Modules do; numbers and texts have bounds."""
    for file in [*INFRA.glob("*.bicep"), *(INFRA / "modules").glob("*.bicep")]:
        lines = file.read_text("utf-8").splitlines()
        assert any(line.startswith("metadata description") for line in lines), file.name
        for number, line in enumerate(lines):
            if not re.match(r"(param|output) ", line):
                continue
            above = number - 1
            while above >= 0 and lines[above].startswith("@"):
                above -= 1
            decorators = "\n".join(lines[above + 1 : number])
            assert "@description('" in decorators, f"{file.name}: {line}"
            if line.startswith("param"):
                assert re.search(r"'(Required|Optional)\. ", decorators), f"{file.name}: {line}"
                if re.match(r"param \w+ int", line):
                    bounded = "@minValue" in decorators and "@maxValue" in decorators
                    assert bounded or "@allowed" in decorators, f"{file.name}: {line}"


def test_the_linter_is_strict() -> None:
    """Every rule that is named is an error."""
    rules = read("bicepconfig.json")["analyzers"]["core"]["rules"]

    assert {rule["level"] for rule in rules.values()} == {"error"}
    assert {"use-recent-api-versions", "what-if-short-circuiting", "no-unused-params"} <= set(rules)
