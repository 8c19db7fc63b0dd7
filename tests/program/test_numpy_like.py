"""Some ninety programs of NumPy functions: NumPy's values, and the slopes of central differences."""

import numpy as np
import pytest

import spanax as sx

from .autograd_like import scalar
from .numpy_like import PROGRAMS
from .test_autograd_like import along, leaves

GROUPS = 9


@pytest.mark.few(3)
@pytest.mark.parametrize("group", range(GROUPS))
def test_values_and_slopes(group):
    """Several programs in one, with arguments of their own: so each slope is that of its own program."""
    names = list(PROGRAMS)[group::GROUPS]
    functions = {name: (lambda *args, f=PROGRAMS[name][0]: scalar(f(*args))) for name in names}

    def total(args):
        values = [functions[name](*args[name]) for name in names]
        return np.sum(np.array(values) * (1 + np.arange(len(names))))

    args = {name: PROGRAMS[name][1] for name in names}
    value, slopes = sx.value_and_gradient(total, args)
    np.testing.assert_allclose(value, total(args), rtol=1e-10)
    rng = np.random.default_rng(0)
    for i, name in enumerate(names):
        direction = [rng.standard_normal(np.shape(x)) for x in leaves(args[name])]
        expected = (1 + i) * along(functions[name], args[name], direction)
        got = sum(np.sum(slope * d) for slope, d in zip(leaves(slopes[name]), direction, strict=True))
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8, err_msg=name)
