"""Where NumPy raises, its own error with the program's line; where only JAX would, ours; and never a foreign one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

from .lines import place
from .numpy_table import CALLS, function_of
from .test_array_likes import WRITES, arrays_of, filled

X = np.array([1.3, 0.6, 0.7, 2.0, 0.4, -1.2, 0.3, 0.9, -0.5])


def wrong_shape(x):
    return x.reshape(2, 2).sum()


def no_broadcasting(x):
    return (x + np.ones(4)).sum()


def no_product(x):
    return x @ np.ones(4)


def too_many_indices(x):
    return x[1, 2]


def no_such_axis(x):
    return np.sum(x, axis=3)


def no_matrix(x):
    return np.linalg.inv(x).sum()


def other_lengths(x):
    return np.concatenate([x, x.reshape(3, 3)]).sum()


def ragged(x):
    return np.array([x, x[:2]]).sum()


def beyond_the_end(x):
    return np.take(x, 99)


def no_index(x):
    return x[np.array([1.5])].sum()


def no_permutation(x):
    return x.transpose(0, 1).sum()


def no_keyword(x):
    return np.sum(x, foo=3)


def of_numpys_own(x):
    return np.interp(x, [1.0, 2.0], [1.0]).sum()


NUMPYS = [wrong_shape, no_broadcasting, no_product, too_many_indices, no_such_axis, no_matrix, other_lengths, ragged]
NUMPYS += [beyond_the_end, no_index, no_permutation, no_keyword, of_numpys_own]


@pytest.mark.parametrize("program", NUMPYS, ids=lambda program: program.__name__)
def test_what_numpy_raises(program):
    with pytest.raises(Exception) as expected:
        program(X)
    with pytest.raises(expected.type) as caught:
        sx.gradient(program, X)
    assert any(place(program, "return") in note for note in caught.value.__notes__)


def distinct(x):
    return np.unique(x).sum()


def counted(x):
    return np.repeat(x, np.abs(x).astype(int) + 1).sum()


def of_objects(x):
    return np.array([x, None])[0].sum()


def as_text(x):
    return float(x.astype(str)[0])


def from_an_iterator(x):
    return np.fromiter(iter(x), float).sum()


def through_an_iterator(x):
    return sum(float(v) for v in np.nditer(x))


OURS = [distinct, counted, of_objects, as_text, from_an_iterator, through_an_iterator]


@pytest.mark.parametrize("program", OURS, ids=lambda program: program.__name__)
def test_what_only_jax_cannot_do(program):
    with pytest.raises(sx.SpanaxError) as caught:
        sx.gradient(program, X)
    assert place(program, "return") in caught.value.where
    assert caught.value.remedies


# -- every function of the table, with arguments that it does not expect

MUTATIONS = {
    "no such axis": lambda args, kwargs: (args, kwargs | {"axis": 7}),
    "several axes": lambda args, kwargs: (args, kwargs | {"axis": (0, 1)}),
    "one more": lambda args, kwargs: ((*args, None), kwargs),
    "nonsense": lambda args, kwargs: (args, kwargs | {"nonsense": 1}),
    "fewer rows": lambda args, kwargs: ((of_float(args[0], lambda x: x[:2]), *args[1:]), kwargs),
    "none": lambda args, kwargs: (tuple(of_float(a, lambda x: x[:0]) for a in args), kwargs),
    "complex": lambda args, kwargs: (tuple(of_float(a, lambda x: x + 0.5j) for a in args), kwargs),
    "stacked": lambda args, kwargs: (tuple(of_float(a, lambda x: np.stack([x, x])) for a in args), kwargs),
}


def of_float(x, change):
    return change(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


@pytest.mark.few(3)
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_no_foreign_error(mutation, x64):
    """NumPy's kind of error, or ours, or none; of an eighth of the functions, another for each kind of argument."""
    foreign = {}
    for name in [name for name in CALLS if name not in WRITES][list(MUTATIONS).index(mutation) :: 8]:
        args, kwargs = MUTATIONS[mutation](*CALLS[name])

        def run(arrays, name=name, args=args, kwargs=kwargs):
            given = iter(arrays)
            placed = [filled(arg, given, lambda x: x) for arg in args]
            return function_of(name)(
                *placed, **{key: filled(value, given, lambda x: x) for key, value in kwargs.items()}
            )

        arrays = arrays_of([*args, *kwargs.values()])
        try:
            expected = run(arrays)
        except Exception as error:
            expected = error
        try:
            jax.eval_shape(sx.lift(run), list(map(jnp.asarray, arrays)))
        except sx.SpanaxError:
            pass
        except Exception as error:
            if not isinstance(expected, type(error)) and not isinstance(error, type(expected)):
                foreign[name] = error, expected
    assert not foreign, "\n".join(f"{name}: {pair}" for name, pair in foreign.items())
