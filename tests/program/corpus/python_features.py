"""The language: closures, lambdas, argument lists, recursion, comprehensions, built-ins, containers, printing."""
# ruff: noqa: B905, C416, C417, RUF007

import functools
import itertools
import logging
import math
import operator

import numpy as np

from ._case import Case

GAS_CONSTANT = 8.314
ANTOINE = {"water": (8.07131, 1730.63, 233.426), "ethanol": (8.20417, 1642.89, 230.3)}
calls = 0
log = logging.getLogger(__name__)


def local_function(x, y):
    def residual(t):
        if t > y:
            return t - y
        return (t - y) ** 2

    return residual(x) + 3 * residual(x + 2 * y)


def closure_over_loop(x):
    functions = []
    for k in range(3):
        functions.append(lambda t, k=k: t ** (k + 1) / (k + x))
    return sum(f(x) for f in functions)


def make_integrator(f, n=20):
    def integrate(a, b):
        h = (b - a) / n
        return h * sum(f(a + (i + 0.5) * h) for i in range(n))

    return integrate


def midpoint_rule(a, b):
    return make_integrator(lambda t: np.exp(-(t**2)) if t > 0.2 else 1.0)(a, b)


def counter(x):
    """A variable of the enclosing function that an inner one rebinds."""
    total = 0.0

    def add(value, *, weight=1.0):
        nonlocal total
        if value > 0:
            total += weight * value

    add(x)
    add(-x, weight=10.0)
    add(x * x, weight=0.5)
    return total


def global_counter(x):
    global calls
    calls += 1
    return GAS_CONSTANT * x**2 * (calls - calls + 1)


def _polynomial(x, *coefficients, shift=0.0, **options):
    value = 0.0
    for power, c in enumerate(coefficients):
        value += c * (x - shift) ** power
    if options.get("square"):
        value = value**2
    return value


def argument_lists(x, y):
    coefficients = [1.0, y, 0.5]
    options = {"shift": y, "square": True}
    return _polynomial(x, *coefficients, **options) + _polynomial(x, 1.0, x) + _polynomial(shift=1.0, x=y)


def chebyshev(x, n):
    if n == 0:
        return 1.0
    if n == 1:
        return x
    return 2 * x * chebyshev(x, n - 1) - chebyshev(x, n - 2)


def recursive_simpson(a, b, depth=4):
    def f(t):
        return math.sin(t) / t

    def simpson(low, high, level):
        middle = (low + high) / 2
        if level == 0:
            return (high - low) / 6 * (f(low) + 4 * f(middle) + f(high))
        return simpson(low, middle, level - 1) + simpson(middle, high, level - 1)

    return simpson(a, b, depth)


def comprehensions(x):
    squares = [v**2 for v in x if v is not None]
    table = {i: v for i, v in enumerate(squares)}
    pairs = [(a, b) for i, a in enumerate(squares) for b in squares[i + 1 :]]
    matrix = [[a * b for b in squares] for a in squares]
    clipped = [a if a < 1 else 1 + math.log(a) for a, _ in pairs]
    return table[0] + sum(clipped) + np.array(matrix).trace() + max(a + b for a, b in pairs)


def built_ins(x, y):
    values = [x, y, x * y, abs(x - y)]
    low, high = min(values), max(*values)
    ordered = sorted(values)
    return (
        sum(values) * low + high**2 + pow(x, 3) + round(y, 1) * x + ordered[1] * 3 + float(x) + max(x, 0.0) + min(y, 0)
    )


def iteration_tools(x):
    total = functools.reduce(operator.mul, x, 1.0)
    for a, b in itertools.combinations(x, 2):
        total += a * b
    for i, (a, b) in enumerate(zip(x, x[1:])):
        total += abs(a - b) ** (i + 1)
    total += sum(map(lambda t: t**2, x)) + sum(itertools.accumulate(x))
    return total + sum(a * b for a, b in itertools.product(x[:2], x[1:])) + any(v > 1 for v in x) * x[0]


def unpacking(x):
    first, *middle, last = x
    a, b = b, a = first * last, last
    (p, q), r = (a, b), middle[-1]
    p, q = q, p
    result = p - q * r
    result = result if (square := result**2) < 100 else square
    return result + len(middle) * square


def vapour_pressure(temperature, fraction, names=("water", "ethanol")):
    pressures = {}
    for name in names:
        a, b, c = ANTOINE[name]
        pressures[name] = 10 ** (a - b / (c + temperature))
    pressures["water"] *= 1 - fraction
    pressures.update(ethanol=pressures["ethanol"] * fraction)
    total = sum(pressures.values())
    return max(pressures["water"] / total, 1e-3) * math.log(total)


def talkative(x, steps):
    print("start", x)
    for i in range(steps):
        x = x - 0.1 * (x**3 - 1)
        if i % 2 == 0:
            print(f"step {i}: x = {x:.3f}")
        if x > 1.4:
            print("large", x, sep=": ")
        log.info("x is %s", x)
    return x


def deferred(x, y):
    """Functions in a table, chosen by a static name, partially applied and composed."""
    units = {"celsius": lambda t: t + 273.15, "half": lambda t: t / 2}
    scale = functools.partial(_polynomial, shift=y)

    def compose(*functions):
        return functools.reduce(lambda f, g: lambda t: g(f(t)), functions)

    return compose(units["half"], math.exp, scale, units["celsius"])(x) + scale(x, 1.0, 2.0, 3.0) * scale(y, x)


@functools.cache
def _nodes(n):
    return np.polynomial.legendre.leggauss(n)


def decorated(x, n):
    def doubled(f):
        @functools.wraps(f)
        def wrapper(*args):
            return 2 * f(*args)

        return wrapper

    @doubled
    def integrand(t):
        return np.cos(x * t) if x > 0 else t

    nodes, weights = _nodes(n)
    return weights @ integrand(nodes) + sum(w * integrand(t) ** 2 for t, w in zip(nodes, weights))


def partial_sums(x):
    """A generator function over static steps."""

    def ratios(z):
        term = 1.0
        for k in range(1, 6):
            term *= z / k
            yield term

    total = 0.0
    for i, term in enumerate(ratios(x)):
        total += term if i % 2 else -term
    return total + list(ratios(x / 2))[2]


def guarded(x, table):
    """A lookup that fails for static reasons, and is handled."""
    try:
        scale = {"a": 2.0}[table]
    except KeyError:
        scale = 0.5
    finally:
        x = x * 2
    with np.errstate(divide="ignore"):
        y = scale * np.log(x)
    return y**2 + x


def returned_arrays(x, n):
    rows = []
    for k in range(n):
        rows.append([x**k, k * x, math.sin(x)])
    rows.insert(0, [1.0, x, x])
    rows.pop()
    rows += [[x, 2.0, x**2]]
    return np.array(rows).T @ np.ones(len(rows))


def strings_and_types(x, mode):
    label = f"{mode}-{type(x).__name__}"
    power = len(label.split("-")[0])
    if mode.startswith("f") and "st" in mode:
        return x**power
    del label
    return x


CASES = [
    Case(local_function, (0.9, 0.4)),
    Case(closure_over_loop, (1.3,)),
    Case(midpoint_rule, (-0.31, 1.2)),
    Case(counter, (0.8,)),
    Case(global_counter, (1.7,)),
    Case(argument_lists, (0.8, 1.9)),
    Case(chebyshev, (0.4, 6)),
    Case(recursive_simpson, (0.5, 2.5)),
    Case(comprehensions, (np.array([0.6, 1.4, 1.9]),)),
    Case(built_ins, (0.8, 1.93)),
    Case(iteration_tools, (np.array([0.6, 1.4, 0.9]),)),
    Case(unpacking, (np.array([0.6, 1.4, 0.9, 2.2]),)),
    Case(vapour_pressure, (60.0, 0.3)),
    Case(talkative, (1.8, 4)),
    Case(deferred, (0.7, 0.4)),
    Case(decorated, (0.7, 5)),
    Case(partial_sums, (0.7,)),
    Case(guarded, (0.7, "b")),
    Case(returned_arrays, (0.7, 3)),
    Case(strings_and_types, (0.7, "fast")),
]
