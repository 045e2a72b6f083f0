"""What Azure's SDKs raise, in the product's terms."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from rebuilder.azure._errors import answered, translated
from rebuilder.azure.throttle import ReadRetryPolicy as Patience
from rebuilder.errors import OutcomeUnknown, RebuilderError, Refused, Throttled, TransientError


def response(status: int, **headers: str) -> Any:  # noqa: ANN401 - what stands for the SDK's
    """Return an answer as the SDK hands it over."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status_code=status, reason="No", headers=named)


def refusal(status: int, **headers: str) -> HttpResponseError:
    """Return what the SDK raises at an answer."""
    return HttpResponseError(response=response(status, **headers))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"Retry_After": "7"}, timedelta(seconds=7)),
        ({"Retry_After": "99999999999999999999"}, timedelta(hours=1)),
        ({"Retry_After": "9" * 5000}, timedelta(hours=1)),
        ({"Retry_After": "-1"}, None),
        ({"Retry_After": "inf"}, None),
        ({"x_ms_retry_after_ms": "1500"}, timedelta(seconds=1.5)),
    ],
)
def test_arm_is_not_left_alone_for_ever(headers: dict[str, str], wait: timedelta | None) -> None:
    """Whatever it asks for, an hour is the longest by which it counts."""
    with pytest.raises(Throttled) as raised, translated("read it"):
        raise refusal(429, **headers)

    assert raised.value.retry_after == wait


@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms", "x-ms-retry-after-ms"])
@pytest.mark.parametrize("value", ["0", "inf", "soon", "9" * 5000])
def test_no_wait_is_slept_through(name: str, value: str) -> None:
    """The SDK's own policy would sleep for as long as it reads there, or raise at it."""
    answer = SimpleNamespace(
        http_response=SimpleNamespace(status_code=503, headers={name: value}),
        http_request=SimpleNamespace(method="GET"),
    )
    policy: Any = Patience()

    assert not policy.is_retry({"total": 2}, answer)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("x"), TypeError("x"), KeyError("x"), IndexError("x")),
        *(AttributeError("x"), RecursionError("x"), OverflowError("x")),
    ],
)
def test_an_answer_of_another_shape_is_a_service_out_of_order(
    error: Exception, *, once: bool
) -> None:
    """Where it had an effect, that is not known; elsewhere such an error is a mistake of ours."""
    expected = OutcomeUnknown if once else TransientError
    with pytest.raises(expected, match="is not one of Azure's") as raised, answered("a", once=once):
        raise error
    assert type(raised.value) is expected
    with pytest.raises(type(error)), translated("read it"):
        raise error


def test_what_is_known_already_stays_as_it_is() -> None:
    """An error of ours passes."""
    with pytest.raises(Refused, match="INVALID_IMAGE: no"), answered("read it"):
        raise Refused("INVALID_IMAGE", "no")


@pytest.mark.parametrize("words", ["", "\n", "x" * 100_000, "half \ud800", "two\nlines"])
def test_azures_words_can_be_kept(words: str) -> None:
    """They are short, of whole characters, on one line."""
    failure = refusal(400)
    failure.error = SimpleNamespace(code=words or None, message=words)  # type: ignore[assignment] # what is read of it
    for error in (failure, ClientAuthenticationError(words)):
        with pytest.raises(RebuilderError) as raised, translated("read it"):
            raise error
        assert len(str(raised.value)) < 1200
        assert len(str(raised.value).splitlines()) == 1
        assert str(raised.value).encode()
