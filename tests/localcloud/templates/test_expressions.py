"""Expressions of templates; the hashes are those that the Bicep compiler's console gave."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.templates.evaluation import Scope, Unknown, evaluate, turns
from localcloud.templates.expressions import TemplateError
from localcloud.templates.hashing import guid, unique_string

_SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ([""], "aaaaaaaaaaaaa"),
        (["a"], "eveiun73364hy"),
        (["b"], "isfpze57wxg4q"),
        (["abcd"], "2vkzoblxv4fya"),
        (["abcdefgh"], "q7ncvd5x2rx4e"),
        (["hello", "world"], "a7wkljktk6wne"),
        ([_SUBSCRIPTION, "dev", "westeurope"], "2tq344kw2w2da"),
    ],
)
def test_unique_strings_are_azures(parts: list[str], name: str) -> None:
    """Names made of a hash are those that Azure makes."""
    assert unique_string(parts) == name


def test_guids_are_azures() -> None:
    """So are names that are GUIDs."""
    assert guid(["a", "b"]) == "2d796349-8c7e-55ec-9624-54ece82ed031"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[format('{0}-{1}', 'a', 2)]", "a-2"),
        ("[format('{0:D3}{{x}}', 7)]", "007{x}"),
        ("[if(equals(1, 1), 'yes', fail())]", "yes"),
        ("[coalesce(null(), 'b')]", "b"),
        ("[createObject('a', createArray(1, 2)).A[1]]", 2),
        ("[tryGet(createObject('a', 1), 'b')]", None),
        (
            "[join(map(range(0, 3), lambda('x', string(mul(lambdaVariables('x'), 2)))), ',')]",
            "0,2,4",
        ),
        ("[filter(createArray(1, 2, 3), lambda('x', greater(lambdaVariables('x'), 1)))]", [2, 3]),
        (
            (
                "[reduce(createArray(1, 2), 3, lambda('a', 'b', add(lambdaVariables('a'),"
                " lambdaVariables('b'))))]"
            ),
            6,
        ),
        (
            (
                "[sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'),"
                " lambdaVariables('b'))))]"
            ),
            [1, 2, 3],
        ),
        (
            "[toObject(createArray('a'), lambda('x', lambdaVariables('x')), lambda('x', 1))]",
            {"a": 1},
        ),
        (
            "[items(createObject('b', 1, 'a', 2))]",
            [{"key": "a", "value": 2}, {"key": "b", "value": 1}],
        ),
        (
            (
                "[union(createObject('a', createObject('x', 1)),"
                " createObject('a', createObject('y', 2)))]"
            ),
            {"a": {"x": 1, "y": 2}},
        ),
        ("[replace(toUpper('it''s'), 'IT', 'at')]", "at'S"),
        ("[div(-7, 2)]", -3),
        ("[substring('abcdef', 2, 3)]", "cde"),
        ("[last(split('a/b/c', '/'))]", "c"),
        ("[[not an expression]", "[not an expression]"),
        ("[string(true())]", "True"),
        ("[and(true(), not(contains(createArray('a'), 'b')))]", True),
    ],
)
def test_an_expression_has_azures_value(expression: str, value: Any) -> None:  # noqa: ANN401 - JSON
    """Functions, properties, lambdas and escapes give what they give in Azure."""
    assert evaluate(expression, Scope({})) == value


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[cidrSubnet('10.0.0.0/16', 24, 0)]", "does not know the template function 'cidrSubnet'"),
        ("[format('{0}'", None),
        ("[createObject('a', 1).b]", "property 'b' doesn't exist, available properties are 'a'"),
        ("[createArray(1)[1]]", "index '1' is out of bounds"),
        ("[concat('a']", "is not valid"),
        ("[copyIndex()]", "outside of its loop"),
        ("[toLower(1)]", "'toLower' was given the wrong arguments"),
        ("[format('{1}', 'a')]", "too few arguments"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_by_name(expression: str, words: str | None) -> None:
    """A function that is not here, and whatever Azure refuses, is named; other text is text."""
    if words is None:
        assert evaluate(expression, Scope({})) == expression
        return
    with pytest.raises(TemplateError, match=r"(?s)" + words):
        evaluate(expression, Scope({}))


def test_loops_of_properties_and_keys() -> None:
    """A property's loop makes a list; a key may be an expression."""
    value = {
        "copy": [{"name": "a", "count": 2, "input": "[copyIndex('a', 5)]"}],
        "[concat('x')]": 1,
    }
    assert evaluate(value, Scope({})) == {"a": [5, 6], "x": 1}
    assert turns({"count": 2, "input": "[copyIndex()]"}, Scope({}), "") == [0, 1]


def test_what_only_a_deployment_tells_stays_an_expression() -> None:
    """What-if shows the expression; elsewhere the value is missing."""

    def ask(_: str) -> str:
        raise Unknown("x")

    text = "[reference('x').y]"
    assert evaluate(text, Scope({"reference": ask}, keeps_unknown=True)) == text
    with pytest.raises(Unknown):
        evaluate(text, Scope({"reference": ask}))
