"""`x[mask]` where the mask depends on the arguments: NumPy's values and right slopes, or an error; never a number that the mask
leaves out."""

import builtins
import copy
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

from .numpy_table import CALLS, function_of
from .test_array_likes import WRITES
from .test_autograd_like import along

X = np.array([1.3, -0.6, 0.7, -2.0, 0.4])


def reduced(x):
    y, z = x[x > 0], x[x < 0]
    return [
        *(y.sum(), y.mean(), z.max() * z.min(), y.prod(), y.std(), y.var(ddof=1), np.ptp(y), y.any() * x[0]),
        *((y > 0.5).all() * x[1], np.sum(y), np.mean(z), np.max(y), np.median(x[x > -1]), np.percentile(x[x > -1], 30)),
        *(
            np.linalg.norm(y),
            np.average(y, weights=y**2),
            y @ y,
            np.dot(z, z),
            sum(y),
            max(z),
            min(y),
            np.add.reduce(y),
        ),
        *(len(y) * x[0], y.size * x[1], y.shape[0] * x[2], np.count_nonzero(y > 0.5) * x[3], np.cumsum(y).sum()),
        *(x[x > 9].sum() + x[0], x[x > 9].prod() * x[0], x[x > 9].any() * x[1] + x[2]),
    ]


def elementwise(x):
    y, z = x[x > 0], (x**2)[x > 0]
    return [
        *(
            (y * z).sum(),
            np.exp(-y).sum(),
            np.sum(abs(x[x < 0])),
            np.where(y > 1, y, 3 * z).sum(),
            np.clip(y, 0.5, 1).prod(),
        ),
        *(np.maximum(y, 0.6).prod(), np.interp(y, [0.0, 1.0, 2.0], x[:3]).sum(), (2 - y / z).mean(), y[y < 1].sum()),
        *(
            (y - y.mean()).std(),
            np.round(y * 3).sum() + x[0],
            np.sqrt(y).max(),
            (y == y.max()).sum() * x[0],
            (-y).min(),
        ),
    ]


def places(x):
    i = np.where(x > 0)[0]
    return [
        *(x[i].sum(), x[np.nonzero(x < 0)].prod(), (i * x[i]).sum(), x[np.flatnonzero(x > 0)].max(), i.sum() * x[0]),
        *(len(i) * x[1], x[i[0]] * x[i[-1]], x[x > 0][1], x[x < 0][-1] * x[x > 0][np.argmax(x[x > 0])]),
        *(
            np.extract(x > 0, x**2).sum(),
            np.compress(x > 0, x).max(),
            x.compress(x < 0).sum(),
            x.nonzero()[0].sum() * x[0],
        ),
    ]


def matrices(x):
    A = np.outer(x, x + 0.1)
    rows = A[x > 0]
    return [
        *(A[A > 0].sum(), rows.sum(axis=0) @ x, rows.max(axis=1).sum(), rows[:, 1].sum(), A[x > 0, 2].prod()),
        *(np.linalg.norm(rows, axis=1).sum(), (rows - x).mean(), rows.mean(axis=0)[1], A[np.where(A > 0)].sum()),
        *(np.argwhere(A > 0).sum() * x[0], rows.sum(axis=-1, keepdims=True).max(), rows.sum(keepdims=True)[0, 0]),
    ]


def written(x):
    y, m = x.copy(), x > 0.5
    y[m] = np.sqrt(y[m]) * y[m].sum()
    i = np.where(y < 0)[0]
    y[i] = y[i] ** 2 + i
    y[np.where(y > 0.3)] += 1.0
    A = np.outer(y, x)
    A[y > 1] = y
    A[m, 0] = 3.0
    A[m] *= 2.0
    A[np.nonzero(A > 2.0)] = A[A > 2.0] * 0.5
    return [A.sum(), y @ y]


def written_copies(x):
    """A selection is a copy, which two names share."""
    y = x[x > 0]
    z = y
    y += 1.0
    y[y > 1.5] *= 2.0
    w = copy.copy(z)
    w *= 3.0
    return [(z * z).sum(), x.sum(), w.sum()]


def looped(x):
    total, some = 0.0, 0.0
    for v in x[x > 0]:
        total += v**2
    for i in np.where(x < 0)[0]:
        total += x[i] * i
    for v in x[x < 1]:
        if v > 0.5:
            break
        some += v
    return [total, some]


def carried(x):
    y = x[x > 0]
    for k in range(12):
        y = y * 1.01 + 0.1 * k
    z = y if x[0] > 0 else 2 * y
    w = (x[x > 0] if len(y) > 2 else x[x < 0]).sum()
    return [z.sum() + len(z) * x[0], w]


PROGRAMS = [reduced, elementwise, places, matrices, written, written_copies, looped, carried]


@pytest.mark.few(3)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_values_and_slopes(program, x64):
    expected = np.array(program(X))
    np.testing.assert_allclose(sx.lift(program)(X), expected, rtol=1e-12)
    weights = np.cos(np.arange(len(expected)))
    f = lambda x: np.sum(weights * np.array(program(x)))
    slope = sx.gradient(f, X)
    direction = np.array([0.3, -0.2, 0.5, 0.1, -0.4])
    np.testing.assert_allclose(slope @ direction, along(f, (X,), [direction], h=1e-4), rtol=1e-7)


def test_batches_and_single_precision():
    f = lambda x: np.mean(x[x > 0] ** 2) + np.sum(x[np.where(x < 0)[0]])
    batch = np.stack([X, -X, X[::-1]]).astype(np.float32)
    np.testing.assert_allclose(jax.vmap(sx.lift(f))(batch), [f(x) for x in batch], rtol=1e-6)
    slopes = jax.vmap(jax.grad(sx.lift(f)))(batch)
    expected = [np.where(x > 0, 2 * x / np.sum(x > 0), 1.0) for x in batch]
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


def test_none_and_all():
    assert np.isnan(sx.lift(lambda x: x[x > 9].mean())(X)) and np.isnan(sx.lift(lambda x: np.median(x[x > 9]))(X))
    np.testing.assert_allclose(sx.gradient(lambda x: x[x > -9].mean(), X), np.full(5, 0.2))
    for f in [
        lambda x: x[x > 9].max(),
        lambda x: np.min(x[x > 9]),
        lambda x: x[x > 9][0],
        lambda x: x[np.where(x > 9)[0][0]],
    ]:
        with pytest.raises(sx.SpanaxError, match=r"test_selections\.py"):
            sx.gradient(f, X)
    with pytest.raises(sx.SpanaxError, match="another"):
        sx.gradient(lambda x: np.sum(x[x > 0] * x[x > 0.5]), X)


# -- an adversary: nothing hands out what the mask leaves out

M = np.array([True, False, True, True])  # of the table's arrays, what is chosen of the last axis or of the first


def chosen(x, mark):
    """The selection, by a mask that depends on the arguments where `mark` does."""
    mask = mark[: len(x)] > 0
    return x[mask]


def total(result):
    """One number that sees every entry of whatever this is."""
    if isinstance(result, tuple | list):
        return builtins.sum([total(part) for part in result])
    return np.sum(np.real(result * 1.0)) + 0.3 * np.sum(np.abs(result * 1.0))


def with_selections(name, which):
    """The call of the table, with a selection in place of one of its arrays, or of all."""
    args, kwargs = CALLS[name]
    fits = lambda i, a: isinstance(a, np.ndarray) and a.dtype.kind == "f" and a.ndim > 0 and which in (i, None)

    def f(mark):
        placed = [chosen(a, mark) if fits(i, a) else a for i, a in enumerate(args)]
        result = function_of(name)(*placed, **kwargs)
        return total(placed[0] if name in WRITES else result)

    return f


ATTACKS = {
    f"{name} {which}": with_selections(name, which)
    for name in CALLS
    if name != "empty_like"
    for which in [None, *(i for i, a in enumerate(CALLS[name][0]) if isinstance(a, np.ndarray))]
}
V, A = np.array([0.4, -0.7, 1.2, 2.5]), np.arange(12.0).reshape(4, 3) / 5 + 0.3
EXPRESSIONS = """
y[:2]; y[::-1]; y[1:]; y[[0, 1]]; y[None]; y[:, None]; y[...]; y[y > 0.5]; y[z[:, 0] > 0.5]; z[0]; z[1, 2]; z[:, 0]
z[:, ::-1]; z[1:, 0]; z[z > 1]; z.T; z.T @ z; z @ V[:3]; y @ z; z @ z.T; y @ V[:3]; V[:3] @ y; y * V[:3]; y + V; V - y
y * z; y * z[:, 0]; z * y[:, None]; z + V[:3]; z * A[0]; z - A[:1]; y == y; y != y; (y == V[:3]) * 1; float(y); int(y)
bool(y) * 1; list(y); tuple(y); sorted(y); [v for v in y]; sum(v for v in y); set(y); dict(enumerate(y)); [*y]
max(y, V[0]); zip(y, y); list(zip(y, y)); list(enumerate(y)); list(map(float, y)); list(reversed(y)); abs(y); -y; +y
~(y > 0); round(y); divmod(y, 2.0); y ** y; 2 ** y; y % 2; y // 0.3; 7.1 // y; y and 1.0; not y; y or 1.0; 0.4 in y
99.0 in y; 1.0 in y; math.fsum(y); math.sqrt(y); math.prod(y); copy.copy(y); copy.deepcopy(y); operator.add(y, y)
str(y); repr(y) and 1.0; f"{y}" and 1.0; hash(y); y.tolist(); y.item(); y.item(0); y.flatten(); y.ravel()
y.reshape(-1); y.reshape(3); z.reshape(-1); y.T; y.flat; y.base; y.copy(); y.astype(int); y.sort(); y.argsort()
y.cumsum(); y.cumprod(); y.repeat(2); y.take([0]); y.put([0], 5.0); y.fill(2.0); y.dot(y); y.dot(V[:3]); z.dot(V[:3])
y.searchsorted(0.5); y.clip(0.5, 1.0); y.round(); y.conj(); y.real; y.imag; y.squeeze(); y.trace(); z.trace()
z.diagonal(); z.swapaxes(0, 1); z.transpose(); y.tobytes(); y.view(); y.nbytes; y.itemsize; y.strides; y.ndim; y.dtype
z.sum(0); z.sum(1); z.sum((0, 1)); z.sum(axis=1).max(); z.max(0); z.max(1); z.argmax(); z.argmax(1); z.argmax(0)
z.std(1); z.mean(axis=-1); z.mean(axis=-2); z.sum(2); y.sum(1); y.sum(where=y > 0.5); y.sum(initial=3.0)
y.max(initial=9.0); y.min(out=V); z.prod(keepdims=True); z.cumsum(0); z.cumsum(); y.partition(1); y.ptp(); y.values
y.mask; y.data; y._values; y._mask; y.length; y.count; y.pairs(); y.spread(y); y.full(0.0); y.reduced("sum")
y.place(0); np.array([y, y]); np.array([y[0], 2.0]); V[y > 0.5]; V[y]; V[np.where(y > 0.5)[0]]
A[np.argwhere(V > y.sum())]; np.where(y > 0.5)[0]; np.nonzero(y)[0]; np.unique(y); np.full(3, y); np.full_like(y, 2.0)
np.zeros_like(y); np.zeros(len(y)); np.zeros(y.shape); np.arange(len(y)); np.linspace(0, 1, len(y));
np.broadcast_to(y, (2, 3)); np.tile(y, 2); np.concatenate([y, V]); np.append(y, 1.0); np.r_[y, 1.0]; np.c_[y, y]
np.stack([y, y]); np.outer(y, y); np.vdot(y, y); np.inner(y, V[:3]); np.cov(y); np.histogram(y)
np.bincount(y.astype(int)); np.einsum("i,i", y, y); np.einsum("i,i", y, V[:3]); np.vectorize(math.sqrt)(y)
np.apply_along_axis(np.sum, 0, y); np.diff(y); np.percentile(y, 20); np.quantile(y, [0.1, 0.2]); np.linalg.norm(z)
np.linalg.norm(z, axis=0); np.linalg.norm(y, 3); np.polyfit(y, y, 1); np.polyval(y, 2.0); np.polyval([1.0, 2.0], y)
np.poly1d(y)(2.0); np.isscalar(y) * 1; np.iterable(y) * 1; len(y) * 1.0; len(z) * 1.0; y.shape; z.shape; np.shape(z)
y.size; np.size(z, 1); np.matmul(y, y); np.matmul(z, V[:3]); np.add.reduce(z, axis=1); np.add.accumulate(y)
np.add.outer(y, y); np.multiply.reduce(y); np.add.reduceat(y, [0, 1]); np.maximum.reduce(z); np.add(y, y, out=y)
np.add(y, 1.0, where=y > 0); np.modf(y); np.frexp(y); np.hypot(y, 1.0); np.sum([y, y]); np.sum((y, y), axis=0)
np.mean([y]); np.sum(z, axis=0); np.interp(0.5, y, y); np.interp(y, V, V); np.searchsorted(y, 0.5)
np.searchsorted([0.0, 1.0], y); np.isin(y, V); np.isin(V, y); np.digitize(V, y); np.average(y)
np.average(z, axis=0, weights=y); np.average(V[:3], weights=y); np.nansum(y); np.nanmax(y); np.all(y); np.any(y > 9)
"""


def expressions(folder):
    """A function for each, in a file: lifting reads their text."""
    texts = [text.strip() for text in EXPRESSIONS.strip().replace("\n", ";").split(";")]
    functions = [f"def attack_{i}(y, z):\n    return {text}\n" for i, text in enumerate(texts)]
    names = ", ".join(f"attack_{i}" for i in range(len(texts)))
    head = "import copy, math, operator\nimport numpy as np\nfrom tests.program.test_selections import A, V\n\n"
    (folder / "expressions.py").write_text(head + "\n".join(functions) + f"\nATTACKS = [{names}]\n")
    made = runpy.run_path(str(folder / "expressions.py"))["ATTACKS"]
    return {
        text: (lambda mark, attack=attack: total(attack(chosen(V, mark), chosen(A, mark))))
        for text, attack in zip(texts, made, strict=True)
    }


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", ["expressions", "functions"])
def test_nothing_leaks(kind, tmp_path, x64):
    """Each attack gives NumPy's number, or an error: ours, or the same kind as NumPy's."""
    attacks = ATTACKS if kind == "functions" else expressions(tmp_path)
    mark = np.where(M, 1.0, -1.0)
    right, leaks = 0, {}
    with jax.disable_jit():
        for name, attack in attacks.items():
            try:
                expected = attack(mark)
            except Exception as error:
                expected = error
            try:
                got = sx.lift(attack)(jnp.asarray(mark))  # JAX's, and so unknown without a trace
            except sx.SpanaxError:
                continue
            except Exception as error:
                if not isinstance(expected, Exception) or not isinstance(error, type(expected)):
                    leaks[name] = error
                continue
            if isinstance(expected, Exception) or not np.allclose(got, expected, rtol=1e-9, equal_nan=True):
                leaks[name] = got, expected
            right += 1
    assert not leaks, "\n".join(f"{name}: {leak}" for name, leak in leaks.items())
    assert right > len(attacks) / 8
