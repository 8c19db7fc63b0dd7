"""What a function returns that may be None on some ways, used at once: each operator, function and container sees its value.

The walk is made from lists: Python's operators, the tables of built-in functions and of NumPy's functions that the library has,
NumPy's own ufuncs, and the functions that jax.numpy has as well. Each use is compared with plain Python, and its derivative with
central differences. The others are programs.
"""

import importlib.util
import math
import operator
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.program._numpy import methods as _methods
from spanax.program._numpy.functions import RULES
from spanax.program._numpy.namesakes import UNSIZED
from spanax.program._python import calls, hooks
from spanax.program._python.builtins import CALLS
from spanax.program._session import Session, under
from spanax.program._values.unsettled import Partial, Undefined, Unusable
from spanax.program._values.values import Number, as_jax

from . import early

POINT = 4.0
BINARY = "+ - * / // % ** @ & | ^ << >>".split()
COMPARED = "== != < <= > >=".split()
# `V` is the value that may be None. F is a function.
OPERATORS = [
    *(f"V {op} {other}" for op in BINARY for other in ("2.0", "3", "V", "[1.0, 2.0, 3.0]")),
    *(f"{other} {op} V" for op in BINARY for other in ("2.0", "3", "[1.0, 2.0, 3.0]")),
    *(f"V {op} 8.0" for op in COMPARED),
    *(f"8.0 {op} V" for op in COMPARED),
    *(
        "-V",
        "+V",
        "~V",
        "not V",
        "1.0 < V < 20.0",
        "V and 5.0",
        "V or 5.0",
        "0.0 or V",
        "1.0 and V",
        "3.0 if V else 5.0",
    ),
    *("V in [8.0]", "8.0 in [V]", "V not in (1.0, 8.0)", "V is None", "V is not None", "V == None", "None != V"),
    *("[V, 1.0]", "(V,)", "{'k': V}", "[*(V, V)]", "{**{'k': V}}['k']", "[x * V for x in (1.0, 2.0)]", "(V, 2.0)[0]"),
    *("{k: V for k in 'ab'}", "[x for x in [V, 1.0]]", "sum(x for x in (V, 1.0))", "[V, 1.0] == [8.0, 1.0]"),
    *("(lambda x: x * V)(V)", "(lambda x=V: x * 2.0)()", "(lambda *xs, k: xs[0] * k)(V, k=V)", "math.hypot(*[V, V])"),
    *("V[0]", "V[1:]", "V[..., 0]", "V[V > 3.0].sum()", "np.arange(20.0)[int(V)]", "[1.0, 2.0, 3.0][V == 8.0]", "V.T"),
    *("(y := V) * y", "[x * y for x, y in [(V, 2.0)]]", "np.add(V, V, out=np.zeros(3))", "np.zeros(3) + [V, V, V]"),
]
STATEMENTS = [
    *(f"s = 3.0; s {op}= V; return s" for op in BINARY),
    *(f"s = np.ones(3); s {op}= V; return s" for op in BINARY[:7]),
    *("s = np.zeros(3); s[1] = V; return s", "s = np.zeros(3); s[1] += V; return s", "s = [0.0]; s[0] += V; return s"),
    *("s = np.zeros(3); s[:] = V; return s", "s = []; s.append(V); return s", "s = []; s.extend([V]); return s[0] * 2"),
    *(
        "s, t, u = V; return s * t + u",
        "s, *t = V; return t",
        "s = t = V; return s * t",
        "s = {}; s['k'] = V; return s",
    ),
    *("s = 0.0\n    for x in V: s += x\n    return s", "s = 0.0\n    while V > s: s += 1.0\n    return s"),
    *("s = 0.0\n    for x, y in zip(V, V): s += x * y\n    return s", "if V > 3.0: return V\n    return 1.0"),
    *(
        "assert V > 1.0; return V * 1.0",
        "box = Box(); box.x = V; return box.x * 2",
        "box = Box(); box.x = 1.0; box.x += V; return box.x",
    ),
    *(
        "def f(x=V): return x * 2\n    return f()",
        "def f(x): return x + V\n    return f(V)",
        "return Box.made(V).x + 1.0",
    ),
]
CALLED = [
    "F(V)",
    "F(V, 2.0)",
    "F(2.0, V)",
    "F(V, V)",
    "F([V, 3.0])",
    "F([V, V], 0)",
    "F(V, 1)",
    "F(x for x in [V, 2.0])",
]
TAKEN = ["F(V)", "F(V, 0)", "F(V, 1)", "F([V, V])", "F(V, V)", "F(V > 3.0, V, 1.0)", "F(2, V)"]
ONE, TWO = ["F(V)", "F([V, V])"], ["F(V, 2.0)", "F(2.0, V)", "F(V, V)"]
VALUES = {
    "vector": lambda a: np.array([0.1, 0.15, 0.21]) * a,
    "number": lambda a: 2.0 * a,
    "matrix": lambda a: np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.0]]) * a,
}
MADE = """
import math
import numpy as np
from types import SimpleNamespace

class Box:
    @staticmethod
    def made(x):
        box = Box()
        box.x = x
        return box

def may_be_none(a, value):
    if a > 1.0:
        return value(a)

def held(box):
    return box[0]
"""


class Use(NamedTuple):
    """One way to use a value of some kind: a function in the written module, what it is a use of, and how it is shown."""

    function: str
    kind: str
    of: str
    text: str


def public(module: Any) -> list[Callable]:
    """Its functions that jax.numpy has as well."""
    inside = {np: jnp, np.linalg: jnp.linalg, np.fft: jnp.fft}[module]
    names = [n for n in dir(module) if not n.startswith("_") and hasattr(inside, n)]
    found = [getattr(module, n) for n in names]
    return [f for f in found if callable(f) and not isinstance(f, (type, np.ufunc)) and f not in SKIPPED]


SKIPPED = {np.save, np.savez, np.load, np.fromfile, np.show_config, np.get_printoptions, np.set_printoptions, np.empty}
SKIPPED |= {np.empty_like, np.array_repr, np.array_str, np.printoptions, *UNSIZED}


def written(path: Any) -> tuple[Any, list[Use]]:
    """A module with a function for each use, and the list of them."""
    ufuncs = [f for f in vars(np).values() if isinstance(f, np.ufunc) and f.nin <= 2]
    functions = [
        *((f, CALLED) for f in CALLS if f not in (print, input)),
        *((f, TAKEN) for f in RULES if f not in SKIPPED),
        *((f, ONE if f.nin == 1 else TWO) for f in dict.fromkeys(ufuncs)),
        *((f, ONE) for module in (np, np.linalg, np.fft) for f in dict.fromkeys(public(module)) if f not in RULES),
    ]
    methods = [f"V.{name}()" for name in sorted({*_methods._METHODS, *_methods._OWN, *dir(float)}) if name[0] != "_"]
    bodies = [(f"return {text}", text, text) for text in (*OPERATORS, *methods)]
    bodies += [(text, text, text) for text in STATEMENTS]
    for i, (function, templates) in enumerate(functions):
        name = getattr(function, "__name__", str(function))
        bodies += [(f"return {t.replace('F(', f'F{i}(')}", f"F{i}", t.replace("F(", f"{name}(")) for t in templates]
    text, uses = [MADE], []
    for i, (body, of, shown) in enumerate(bodies):
        text.append(f"def use{i}(box):\n    {body.replace('V', 'held(box)')}\n")
        uses += [Use(f"use{i}", kind, of, shown) for kind in VALUES]
    file = path / "uses.py"
    file.write_text("\n".join(text))
    spec = importlib.util.spec_from_file_location("uses", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update({f"F{i}": f for i, (f, _) in enumerate(functions)})
    return module, uses


def plain(x: Any) -> Any:
    """A result of Python's, as numbers, texts and containers of them; None for what is no such thing."""
    if hasattr(x, "__next__") or type(x) in (range, zip, map, filter, enumerate, reversed):
        x = list(x)
    if isinstance(x, (list, tuple)):
        return [plain(part) for part in x]
    if isinstance(x, dict):
        return {key: plain(part) for key, part in x.items()}
    return np.asarray(x) if isinstance(x, (int, float, complex, np.ndarray, np.generic)) else None


def leaves(x: Any) -> list:
    return jax.tree.leaves(x, is_leaf=lambda part: part is None)


def in_python(module: Any, uses: list[Use], a: float) -> dict[Use, Any]:
    """The results of the uses that Python can run, and that are numbers."""
    found: dict[Use, Any] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for use in uses:
            try:
                result = plain(getattr(module, use.function)([VALUES[use.kind](a)]))
            except Exception:
                continue
            if all(x is not None and x.dtype.kind in "biufc" for x in leaves(result)) and leaves(result):
                found[use] = result
    return found


def some(uses: Iterable[Use]) -> list[Use]:
    """All uses of an operator, and the first two ways to call a function."""
    kept: dict[str, list[Use]] = {}
    for use in uses:
        of = kept.setdefault(use.of, [])
        if use.of == use.text or (len(of) < 2 and use.text not in {other.text for other in of}):
            of.append(use)
    return [use for of in kept.values() for use in of]


class Walk:
    """The same in a lifted program: what each use gives, and which were refused."""

    def __init__(self, module: Any, uses: list[Use]):
        self.module, self.uses = module, uses
        self.found: list[Use] = []
        self.refused: list[Use] = []
        self.computed: list[Use] = []  # where the same with the plain value is refused

    def __call__(self, a: jax.Array) -> list:
        found, self.found = [], []
        with (
            under(Session(hooks.LiftRules(), 100, True)) as now,
            now.block(),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
        ):
            number = Number(a, float)
            boxes = {k: [calls.call_unread(self.module.may_be_none, number, v)] for k, v in VALUES.items()}
            whole = {k: [calls.call_unread(v, number)] for k, v in VALUES.items()}
            for use in self.uses:
                result = self.of(use, boxes[use.kind])
                if result is None:
                    (self.refused if self.of(use, whole[use.kind]) is None else self.computed).append(use)
                    continue
                self.found.append(use)
                found.append(leaves(result))
        return found

    def of(self, use: Use, box: list) -> Any:
        try:
            result = calls.call_unread(getattr(self.module, use.function), box)
            result = hooks.final_result(list(result) if hasattr(result, "__next__") else result)
            return jax.tree.map(as_jax, result) if leaves(result) else None
        except Exception:
            return None


@pytest.mark.slow
def test_each_use_sees_the_value(tmp_path):
    module, uses = written(tmp_path)
    expected = in_python(module, uses, POINT)
    walk = Walk(module, some(expected))
    with jax.enable_x64(True):
        found, slopes = jax.jit(lambda a: jax.jvp(walk, (a,), (1.0,)))(POINT)
    assert not walk.computed, walk.computed
    assert len(walk.found) > 700  # the others are refused with a value that is there on all ways as well
    around = [in_python(module, walk.found, POINT + d) for d in (1e-4, -1e-4, 1e-5, -1e-5)]
    wrong: list[Any] = []
    compared = 0
    for use, values, derivatives in zip(walk.found, found, slopes, strict=True):
        numbers = leaves(expected[use])
        if len(values) != len(numbers) or not all(map(is_close, values, numbers)):
            wrong.append((use.text, use.kind, values, numbers))
            continue
        for i, value in enumerate(values):
            if value.dtype.kind == "f" and (slope := differences(use, around, i)) is not None:
                compared += 1
                # NaN, where it comes up, is that of the function itself (of a distance of 0), and says so.
                if not is_close(derivatives[i], slope, 1e-5) and not np.isnan(derivatives[i]).any():
                    wrong.append((use.text, use.kind, derivatives[i], slope))
    assert not wrong, wrong
    assert compared > 0.6 * len(walk.found), compared


def is_close(x: Any, y: Any, tolerance: float = 1e-9) -> bool:
    return np.shape(x) == np.shape(y) and np.allclose(x, y, rtol=tolerance, atol=0.1 * tolerance, equal_nan=True)


def differences(use: Use, around: list[dict], i: int) -> Any:
    """The central differences of one number of its result; None where they do not agree, as at a jump."""
    if not all(use in results for results in around):
        return None
    far, near = [
        (leaves(up[use])[i] - leaves(down[use])[i]) / width
        for up, down, width in ((*around[:2], 2e-4), (*around[2:], 2e-5))
    ]
    return near if np.allclose(far, near, rtol=1e-5, atol=1e-6) else None


def all_of_them(a):
    return [f(a) for f in early.RIGHT]


def test_programs_with_early_returns():
    """Values and derivatives on several ways, in one compiled program; nothing of it is None where it is used."""
    points = np.array([1.9, 2.6, 4.0, 6.1, 12.0])
    with jax.enable_x64(True):
        lifted = sx.lift(all_of_them)
        values, slopes = jax.jit(jax.vmap(lambda a: jax.jvp(lifted, (a,), (1.0,))))(points)
    step = 1e-6
    for i, f in enumerate(early.RIGHT):
        expected = [f(a) for a in points]
        np.testing.assert_allclose(values[i], expected, rtol=1e-9, err_msg=f.__name__)
        differences = [(f(a + step) - f(a - step)) / (2 * step) for a in points]
        np.testing.assert_allclose(slopes[i], differences, rtol=1e-6, atol=1e-8, err_msg=f.__name__)


def test_gradients_of_helpers_in_place():
    assert sx.value_and_gradient(early.compared, 4.0) == (20.0, 5.0)
    assert (
        sx.value_and_gradient(lambda a: np.sum(early.first_above(np.ones(2) @ [a, 0.0]) * np.ones(3)), 4.0)[0] == 48.0
    )


def test_text_of_a_value_that_may_be_none(capfd):
    def show(a):
        print(f"{early.maybe(a):.3f}", str(early.maybe(a)))
        print("%.2f" % early.maybe(a), "{:>8.1f}".format(early.maybe(a)))  # noqa: UP031, UP032
        print(early.maybe(a), f"{[early.maybe(a), a]}")
        return a

    show(4.0)
    plain_text = capfd.readouterr().out
    jax.block_until_ready(sx.lift(show)(4.0))
    jax.effects_barrier()
    assert capfd.readouterr().out == plain_text


UNARY = [
    operator.neg,
    operator.pos,
    operator.abs,
    operator.invert,
    operator.not_,
    operator.index,
    hash,
    len,
    iter,
    str,
    repr,
]
UNARY += [
    format,
    bytes,
    int,
    float,
    complex,
    round,
    math.floor,
    math.ceil,
    math.trunc,
    math.sin,
    np.asarray,
    np.sin,
    np.sum,
]
BOTH = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    divmod,
]
BOTH += [
    operator.and_,
    operator.or_,
    operator.xor,
    operator.lshift,
    operator.rshift,
    operator.matmul,
    operator.eq,
    operator.ne,
]
BOTH += [
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    np.add,
    np.dot,
    operator.iadd,
    operator.imul,
    operator.isub,
]


@pytest.mark.parametrize("value", [Undefined("x"), Unusable("it has two shapes"), Partial(1.0, True, None, "x")])
def test_the_thing_itself_refuses_everything(value):
    for function in UNARY:
        with pytest.raises(sx.SpanaxError):
            function(value)
    for function in BOTH:
        for other in (2.0, 3, np.float64(2.0), np.ones(3), jnp.ones(3), "%s", [1.0], None):
            for pair in ((value, other), (other, value)):
                with pytest.raises((sx.SpanaxError, TypeError)):
                    assert function(*pair) is None, (function, pair[0] is value, type(other))
    for function in (
        lambda: value[0],
        lambda: 1 in value,
        lambda: value(),
        lambda: value.shape,
        lambda: value in [1.0],
    ):
        with pytest.raises(sx.SpanaxError):
            function()
