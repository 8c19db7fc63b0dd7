"""Lists and tuples of arrays are arrays for NumPy: in every function that takes one."""

import jax
import numpy as np
import pytest

import spanax as sx

from .numpy_table import CALLS, OTHERS, function_of

WRITES = {"put_along_axis", "put", "place", "putmask", "copyto", "fill_diagonal"}  # into their first argument


def public():
    """By name: the functions that take arrays, of numpy, numpy.linalg and numpy.fft, and the ufuncs."""
    for prefix, module in [("", np), ("linalg.", np.linalg), ("fft.", np.fft)]:
        for name in dir(module):
            function = getattr(module, name)
            if isinstance(function, np.ufunc | type(np.sum)):
                yield prefix + name, function


def test_the_table_is_complete():
    known = {function_of(name) for name in CALLS} | {function_of(n) for names in OTHERS.values() for n in names.split()}
    assert not [name for name, function in public() if function not in known]


def rows(x):
    return [list(row) for row in x] if x.ndim == 2 else list(x)


def arrays_of(arg):
    """The unknown arrays of an argument."""
    if isinstance(arg, np.ndarray):
        return [arg] if arg.dtype.kind in "fc" else []
    return [x for part in arg for x in arrays_of(part)] if isinstance(arg, list | tuple) else []


def filled(arg, given, form):
    """The argument with the next of the arrays given in place of each of its own, in the form that `form` gives them."""
    if isinstance(arg, np.ndarray) and arg.dtype.kind in "fc":
        return form(next(given))
    return type(arg)(filled(part, given, form) for part in arg) if isinstance(arg, list | tuple) else arg


def result_of(name, arrays, form):
    args, kwargs = CALLS[name]
    given = iter(arrays)
    forms = [lambda x: np.array(x) if name in WRITES else form(x)]  # of the first argument
    placed = [filled(arg, given, (forms[0] if i == 0 else form)) for i, arg in enumerate(args)]
    named = {key: filled(value, given, form) for key, value in kwargs.items()}
    result = function_of(name)(*placed, **named)
    return placed[0] if name in WRITES else result


def lists(name, *arrays):
    return result_of(name, arrays, rows)


def tuples(name, *arrays):
    return result_of(name, arrays, tuple)


def plain(name, *arrays):
    return result_of(name, arrays, lambda x: x)


NESTED = {"block", "histogramdd"}  # their lists are rows, and coordinates
NAMES = sorted(CALLS)


def flat(x):
    return [y for part in x for y in flat(part)] if isinstance(x, list | tuple) else [np.asarray(x)]


@pytest.mark.few(1)
@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")  # by newer versions of NumPy
@pytest.mark.parametrize("part", range(8))
def test_every_function(part):
    """As the array itself, as the list of its rows' lists, as the tuple of its rows, and known: NumPy's own result."""
    names = NAMES[part::8]
    arrays = {name: arrays_of([*CALLS[name][0], *CALLS[name][1].values()]) for name in names}
    known = dict(arrays)

    def run(arrays):
        return {
            name: [plain(name, *given), plain(name, *known[name])]
            + ([] if name in NESTED else [lists(name, *given), tuples(name, *given)])
            for name, given in arrays.items()
        }

    with jax.enable_x64(True):
        got = sx.lift(run)(arrays)
    for name in names:
        expected = flat(plain(name, *arrays[name]))
        for result in got[name]:
            assert len(flat(result)) == len(expected), name
            for x, y in zip(flat(result), expected, strict=True):
                assert x.shape == y.shape, name
                np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12, err_msg=name)
