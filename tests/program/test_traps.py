"""A lifted program is right or refused, never silently wrong."""

import copy
import warnings

import numpy as np
import pytest

import spanax as sx

from . import traps

CASES = [(name, args[0]) for name, args in traps.CASES]


@pytest.mark.parametrize("name, args", CASES, ids=[name for name, _ in CASES])
def test_right_or_refused(name, args):
    program = getattr(traps, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy's own, where a program asks for a NaN
        expected = program(*copy.deepcopy(args))
        try:
            value, _ = sx.value_and_gradient(program, *args)
        except sx.SpanaxError as error:
            assert error.remedies or error.where
            return
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
