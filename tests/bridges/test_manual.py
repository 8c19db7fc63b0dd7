"""`Manual` holds one derivative of the user's, and says what it costs."""

import pytest

from spanax import SpanaxError
from spanax.bridges import Bridge, Manual, Probing


def twice(x, y, v):
    return 2 * v


def test_it_is_a_bridge_of_its_own_kind():
    assert isinstance(Manual(vjp=twice), Bridge) and not isinstance(Manual(vjp=twice), Probing)
    assert repr(Manual(vjp=twice)) == "Manual(vjp=twice)" and repr(Manual(jvp=twice)) == "Manual(jvp=twice)"
    assert Manual(vjp=twice) == Manual(vjp=twice) and hash(Manual(vjp=twice)) == hash(Manual(vjp=twice))


def test_facts():
    assert Manual(vjp=twice).facts.evaluations == "1 call of vjp"
    assert Manual(jvp=twice).facts.evaluations == "size(x) calls of jvp in reverse mode, 1 in forward mode"
    assert "f.check" in Manual(vjp=twice).facts.unbiased_for


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "neither"),
        ({"vjp": twice, "jvp": twice}, "both"),
        ({"vjp": 3}, "vjp=3"),
        ({"jvp": "no"}, "cannot be called"),
    ],
)
def test_errors(options, words):
    with pytest.raises(SpanaxError, match=words):
        Manual(**options)
