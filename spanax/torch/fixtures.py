"""A pytest fixture. In a `conftest.py`: `pytest_plugins = ["spanax.torch.fixtures"]`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .._errors import SpanaxError
from .find import assert_alive


@pytest.fixture(name="alive")
def alive() -> Callable[..., None]:
    """A function that fails the test, with the report and no traceback, unless every parameter gets its whole gradient.

    It takes what `spanax.torch.assert_alive` takes:

        def test_everything_learns(alive):
            alive(model, x, loss=lambda output: cross_entropy(output, y))
    """

    def check(*args: object, **kwargs: object) -> None:
        __tracebackhide__ = True
        try:
            assert_alive(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        except SpanaxError as error:
            pytest.fail(str(error), pytrace=False)

    return check
