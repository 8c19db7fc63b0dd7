"""Programs that cannot be lifted, or that fail when they run: what each error must say.

The line that it must name bears the comment `# <- here`; where the construct has several lines, any of those that do.
"""

import asyncio
import ctypes
import decimal
import fractions
import inspect
import json
import random
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.integrate
import scipy.optimize


class Unliftable(NamedTuple):
    """`problem` and `remedy`: regular expressions, whatever their case, of the error's problem and of one of its remedies.

    Where the program itself says what is wrong, it needs none.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    problem: str
    remedy: str | None = r"\w"

    @property
    def lines(self) -> list[int]:
        """Those of the file that the error may name."""
        source, first = inspect.getsourcelines(self.function)
        return [first + i for i, line in enumerate(source) if "# <- here" in line]


# -- what leaves Python and NumPy


def root_of_a_library(x):
    y = x + 1.0
    return scipy.optimize.toms748(lambda t: t**3 - y, 0.0, 5.0)  # <- here


def threefold_integral(x):
    return scipy.integrate.tplquad(lambda a, b, c: a * b * c * x, 0, 1, 0, 1, 0, 1)[0]  # <- here


def constant_divisor(x):
    return np.polydiv(x, [0.0, 1.0])[0].sum()  # <- here


def library_on_an_array(x):
    result = scipy.optimize.minimize(lambda z: np.sum((z - x) ** 2), np.zeros(2))  # <- here
    return result.fun + np.sum(x)


def checksum(x):
    return x * zlib.crc32(np.array([x, 2 * x]).tobytes())  # <- here


def foreign_number(x):
    cell = ctypes.c_double(x)  # <- here
    return cell.value * 2


def decimal_number(x):
    return float(decimal.Decimal(x) ** 2)  # <- here


def fraction(x):
    return float(fractions.Fraction(x) * 3)  # <- here


def other_program(x):
    answer = subprocess.run([sys.executable, "-c", f"print({x})"], capture_output=True)  # <- here
    return float(answer.stdout)


def written_to_a_file(x):
    with open("result.txt", "w") as file:  # <- here
        file.write(str(x))  # <- here
    return x**2


def read_from_a_file(x):
    table = np.loadtxt("no-such-table.csv")  # <- here
    return x * table.sum()


def asked_for(x):
    y = float(input("How much? "))  # <- here
    return x * y


def as_json(x):
    return json.loads(json.dumps({"x": x}))["x"] ** 2  # <- here


def the_time(x):
    started = time.time()  # <- here
    return x * started


def without_source(x):
    namespace: dict[str, Any] = {}
    exec("def f(x):\n    if x > 0:\n        return x\n    return -x\n", namespace)  # <- here
    return namespace["f"](x)  # <- here


async def asynchronous(x):  # <- here
    await asyncio.sleep(0)  # <- here
    return x**2


# -- randomness that nobody can repeat


def global_generator(x):
    return x * np.random.standard_normal()  # <- here


def unseeded_generator(x):
    rng = np.random.default_rng()  # <- here
    return x * rng.standard_normal()  # <- here


def standard_library_generator(x):
    return x + random.random()  # <- here


def poisson_of_a_traced_rate(x):
    rng = np.random.default_rng(0)
    return x * rng.poisson(np.exp(x))  # <- here


def choice_by_traced_probabilities(x):
    rng = np.random.default_rng(0)
    return x * rng.choice(3, p=np.array([x, 1 - x, 0.0]))  # <- here


def draw_in_one_branch(x):
    """Whether the generator moves on depends on x: so do all draws that come later."""
    rng = np.random.default_rng(0)
    total = 0.0
    for _ in range(3):
        if x + total > 0.4:
            total += x * rng.exponential()  # <- here
        total += x * rng.standard_normal()
    return total


def draws_until(x):
    rng = np.random.default_rng(0)
    steps = 0.0
    while x < 3.0:
        x = x + rng.random()  # <- here
        steps += x
    return steps


# -- shapes that depend on numbers


def where_it_is_positive(x):
    (indices,) = np.nonzero(x > 0)
    return x[indices[::2]].sum()  # <- here


def one_armed_where(x):
    return np.where(x > 0)[0][1:].sum() * x[0]  # <- here


def distinct_values(x):
    return np.unique(x).std()  # <- here


def what_a_mask_chooses(x):
    positive = x[x > 0]
    return positive[1:].sum() * 2  # <- here


def reshaped_choice(x):
    pairs = x[x > 0].reshape(-1, 1)  # <- here
    return (pairs @ pairs.T)[0, 1]


def zeros_of_a_number(x):
    y = np.zeros(int(x))  # <- here
    return y.sum() + x


def range_of_a_number(x):
    return np.arange(x).sum() * x  # <- here


def points_of_a_number(x):
    grid = np.linspace(0.0, 1.0, int(x))  # <- here
    return np.sum(grid**2) * x


def first_k(x, k):
    return np.array(x[: int(k)]).std()  # <- here


def growing_array(x):
    while np.sum(x) < 10.0:  # <- here
        x = np.append(x, 1.5)  # <- here
    return np.prod(x)


def growing_list(x):
    values = []
    for i in range(int(x)):  # <- here
        values.append(i * x)  # <- here
    return np.std(np.array(values))  # <- here


def list_until_a_break(x):
    losses = []
    for _ in range(5):
        losses.append(x**2)  # <- here
        if losses[-1] < 0.1:  # <- here
            break  # <- here
        x = 0.7 * x
    return losses[-1]  # <- here


def repeated(x):
    return np.repeat(x, 2).sum() * np.repeat(1.0, int(x)).size  # <- here


# -- what one branch changes and the other does not


def key_in_one_branch(x):
    found = {"x": x}
    if x > 0:  # <- here
        found["root"] = np.sqrt(x)  # <- here
    return sum(found.values()) * len(found)  # <- here


def list_in_one_branch(x):
    seen = [x]
    if x > 1:  # <- here
        seen.append(2 * x)  # <- here
    return np.array(seen).std()  # <- here


def name_in_one_branch(x):
    if x > 0:  # <- here
        y = x**2
    return y + x  # <- here


def attribute_in_one_branch(x):
    class Box:
        pass

    box = Box()
    if x > 0:  # <- here
        box.value = x
    return box.value * 2  # <- here


def none_in_one_branch(x):
    y = None
    if x > 0:  # <- here
        y = x
    return y * 2  # <- here


def shapes_of_two_branches(x):
    if x > 0:  # <- here  # noqa: SIM108
        y = np.full(2, x)
    else:
        y = np.full(3, x)
    return np.sum(y * 1.5)  # <- here


def number_or_text(x):
    if x > 0:  # <- here
        return x  # <- here
    return "negative"  # <- here


def number_or_pair(x):
    y = x if x > 0 else (x, x)  # <- here
    return y  # <- here


def function_of_two_branches(x):
    shape = (lambda t: t**2) if x > 0 else "square"  # <- here
    return shape(x)  # <- here


# -- Python that looks at the number itself


def generator_with_an_if(x):
    def positive():
        for value in x:
            if value > 0:  # <- here
                yield value  # <- here

    return list(positive())[0] ** 2  # <- here  # noqa: RUF015


def filtered_comprehension(x):
    positive = [value**2 for value in x if value > 0]  # <- here
    return np.array(positive).std()  # <- here


def caught_division(x):
    try:  # <- here
        y = 1.0 / x  # <- here
    except ZeroDivisionError:  # <- here
        y = 0.0
    return y + x


def rounded_by_text(x):
    return float(f"{x:.3f}") * 2  # <- here


def sign_by_text(x):
    return x if str(x).startswith("-") else -x  # <- here


def traced_key(x):
    rates = {0: 0.1, 1: 0.2, 2: 0.5}
    return x * rates[int(x)]  # <- here


def index_into_names(x):
    weights = {"low": 1.0, "middle": 2.0, "high": 3.0}
    name = ["low", "middle", "high"][int(x)]  # <- here
    return x * weights[name]  # <- here


def set_of_numbers(x, y):
    return x * len({x, y})  # <- here


def hashed(x):
    return x * (hash(x) % 7)  # <- here


def array_of_objects(x):
    row = np.array([x, None, "text"], dtype=object)  # <- here
    return row[0] * 2


class Cell:
    def __init__(self, x, other=None):
        self.x, self.other = x, other


class Wall(Cell):
    pass


WALL = Cell(2.0)


def read_under_the_old_name(x):
    old = Cell(x)
    new = old if x > 3 else Cell(1.0)
    new.x = 7.0
    return old.x * x  # <- here


def written_under_the_old_name(x):
    old = Cell(x)
    new = old if x > 3 else Cell(1.0)
    old.x = 7.0 * x
    return new.x  # <- here


def array_of_an_object(x):
    old = Cell(np.array([x, 1.0]))
    new = old if x > 3 else Cell(np.array([1.0, x]))
    new.x[0] = 9.0
    return old.x[0] * x  # <- here


def object_of_the_world(x):
    new = WALL if x > 3 else Cell(x)
    new.x = 5.0 * x
    return WALL.x * x  # <- here


def the_same_object(x):
    old = Cell(x)
    new = old if x > 3 else Cell(1.0)
    return x if old is new else 2 * x  # <- here


def equal_objects(x):
    old = Cell(x)
    new = old if x > 3 else Cell(1.0)
    return x if new in [old] else 2 * x  # <- here


def attributes_as_a_dictionary(x):
    new = WALL if x > 3 else Cell(x)
    new.__dict__["x"] = 5.0  # <- here
    return new.x


def two_classes(x):
    cell = Cell(x) if x > 3 else Wall(1.0)
    return cell.x  # <- here


def an_attribute_on_one_way(x):
    old = Cell(x)
    old.late = 2.0
    cell = old if x > 3 else Cell(1.0)
    return cell.x  # <- here


def objects_in_a_product(x):
    nothing = np.array([[None] * 2]).T
    return np.dot(nothing.T, np.array([x, x]))[0]  # <- here


def objects_chosen(x):
    nothing = np.full((1,), None)
    return np.where(x > 1, nothing, 0.0)[0]  # <- here


def objects_written(x):
    nothing = np.array([[None] * 2]).T
    if x > 1:
        nothing[0, 0] = 1.0  # <- here
    return x if nothing[0, 0] is None else 2 * x


def objects_filled(x):
    nothing = np.array([[None] * 2]).T
    nothing.fill(0.0)  # <- here
    return x


def maybe_nothing(x):
    if x > 3:
        return 2 * x


def generator_of_a_name(x):
    best = None
    if x > 3:
        best = x

    def values():
        yield 0.0 if best is None else x

    return sum(values())  # <- here


def evaluated_text(x):
    return eval(f"{x} * 2")  # <- here


def endless_recursion(x):  # <- here
    if x < 1:  # <- here
        return 1.0
    return x * endless_recursion(x - 1)  # <- here


BEFORE_THE_RUN = [
    Unliftable(root_of_a_library, (7.0,), "toms748", "blackbox"),
    Unliftable(threefold_integral, (2.0,), "tplquad", "blackbox"),
    Unliftable(constant_divisor, (np.array([1.0, 2.0, 3.0]),), "leading coefficient is 0"),
    Unliftable(library_on_an_array, (np.array([1.0, 2.0]),), "minimize", "blackbox"),
    Unliftable(checksum, (2.0,), "tobytes|crc32", "blackbox"),
    Unliftable(foreign_number, (2.0,), "c_double|float"),
    Unliftable(decimal_number, (2.0,), "Decimal"),
    Unliftable(fraction, (2.0,), "Fraction"),
    Unliftable(other_program, (2.0,), "text|string|format|subprocess|run", "blackbox"),
    Unliftable(written_to_a_file, (2.0,), "open|file", "blackbox"),
    Unliftable(read_from_a_file, (2.0,), "loadtxt|file", "outside|before|argument|blackbox"),
    Unliftable(asked_for, (2.0,), "input", "outside|before|argument|blackbox"),
    Unliftable(as_json, (2.0,), "json|dumps|dict", "blackbox"),
    Unliftable(the_time, (2.0,), r"time\.time|clock", "outside|before|argument"),
    Unliftable(without_source, (2.0,), "source|exec"),
    Unliftable(asynchronous, (2.0,), "async"),
    Unliftable(global_generator, (2.0,), "np.random|seed|generator", "seed|default_rng|generator|argument"),
    Unliftable(unseeded_generator, (2.0,), "seed|default_rng", "seed"),
    Unliftable(standard_library_generator, (2.0,), "random", "seed|default_rng"),
    Unliftable(poisson_of_a_traced_rate, (0.5,), "poisson", "sample|sigma|outside|numpyro"),
    Unliftable(choice_by_traced_probabilities, (0.5,), "choice", "sample|sigma|outside|numpyro"),
    Unliftable(draw_in_one_branch, (0.5,), "exponential|draw|generator", "before|outside|argument"),
    Unliftable(draws_until, (0.5,), r"\brandom|draw|generator", "before|outside|argument|for"),
    Unliftable(where_it_is_positive, (np.array([1.0, -2.0, 3.0]),), "mask|length", "where|mask|static"),
    Unliftable(one_armed_where, (np.array([1.0, -2.0, 3.0]),), "mask|length", "where"),
    Unliftable(distinct_values, (np.array([1.0, -2.0, 1.0]),), "unique"),
    Unliftable(what_a_mask_chooses, (np.array([1.0, -2.0, 3.0]),), "mask|shape|length|size", "where|sum|mean|mask"),
    Unliftable(reshaped_choice, (np.array([1.0, -2.0, 3.0]),), "mask|shape|length|size", "where|mask"),
    Unliftable(zeros_of_a_number, (3.0,), "zeros|shape|length|size", "static|int|argument"),
    Unliftable(range_of_a_number, (3.0,), "arange|shape|length|size", "static|int|argument"),
    Unliftable(points_of_a_number, (3.0,), "linspace|shape|length|size|number of", "static|int|argument"),
    Unliftable(first_k, (np.array([1.0, -2.0, 3.0]), 2.0), "slice|shape|length|size", "static|where|mask|argument"),
    Unliftable(growing_array, (np.array([1.0, 2.0]),), "shape|size|length"),
    Unliftable(growing_list, (3.0,), "list|append|range|length|longer|grow"),
    Unliftable(list_until_a_break, (1.0,), "list|losses"),
    Unliftable(repeated, (3.0,), "repeat|shape|length|size"),
    Unliftable(key_in_one_branch, (2.0,), "root|key|dict"),
    Unliftable(list_in_one_branch, (2.0,), "list|seen|append|length|longer"),
    Unliftable(name_in_one_branch, (-1.0,), r"\by\b"),
    Unliftable(attribute_in_one_branch, (-1.0,), r"value|attribute"),
    Unliftable(none_in_one_branch, (-1.0,), r"\bNone|\by\b"),
    Unliftable(shapes_of_two_branches, (2.0,), "shape"),
    Unliftable(number_or_text, (2.0,), "negative"),
    Unliftable(number_or_pair, (2.0,), "tuple|structure|type|branch"),
    Unliftable(function_of_two_branches, (2.0,), "function|str|type|branch"),
    Unliftable(generator_with_an_if, (np.array([1.0, -2.0, 3.0]),), "generator|yield|condition"),
    Unliftable(filtered_comprehension, (np.array([1.0, -2.0, 3.0]),), "comprehension|filter|list|length|if"),
    Unliftable(caught_division, (0.0,), "try|except|ZeroDivisionError|division", "where|if"),
    Unliftable(rounded_by_text, (2.0,), "text|string|format|str"),
    Unliftable(sign_by_text, (2.0,), "text|string|str"),
    Unliftable(traced_key, (1.0,), "key|dict|hash", "array|if|static"),
    Unliftable(index_into_names, (1.0,), "index|list|str|text", "array|if|static"),
    Unliftable(set_of_numbers, (1.0, 2.0), "set|hash|key"),
    Unliftable(hashed, (2.0,), "hash|key"),
    Unliftable(array_of_objects, (2.0,), "object"),
    Unliftable(read_under_the_old_name, (4.0,), "attribute x", "one name"),
    Unliftable(written_under_the_old_name, (4.0,), "attribute x", "one name"),
    Unliftable(array_of_an_object, (4.0,), "array", "one name"),
    Unliftable(object_of_the_world, (4.0,), "attribute x", "one name"),
    Unliftable(the_same_object, (4.0,), "one object"),
    Unliftable(equal_objects, (4.0,), "one object"),
    Unliftable(attributes_as_a_dictionary, (4.0,), "dictionary", "by their names"),
    Unliftable(two_classes, (4.0,), "a Cell on one path and a Wall on another", "same kind"),
    Unliftable(an_attribute_on_one_way, (4.0,), "late, other, x on one path and a Cell .* other, x on another"),
    Unliftable(objects_in_a_product, (2.0,), "objects", "numbers"),
    Unliftable(objects_chosen, (2.0,), "objects", "numbers"),
    Unliftable(objects_written, (2.0,), "objects", "list"),
    Unliftable(objects_filled, (2.0,), "objects", "list"),
    Unliftable(generator_of_a_name, (1.0,), "best .*generator", "all paths"),
    Unliftable(evaluated_text, (2.0,), "eval|text|string|format"),
    Unliftable(endless_recursion, (4.0,), "recurs|calls itself|deep", "while|loop"),
]


# -- what only the run can tell


def nothing_in_a_sum(x):
    return x + maybe_nothing(x)  # <- here


def nothing_in_an_array(x):
    return np.sum(np.array([x, maybe_nothing(x)]))  # <- here


def nothing_read_by_a_generator(x):
    cell = Cell(maybe_nothing(x))

    def values(owner):
        yield 0.0 if owner.x is None else owner.x

    return sum(values(cell))  # <- here


def nothing_read_by_a_class(x):
    found = maybe_nothing(x)

    class Settings:  # <- here
        size = 0.0 if found is None else 1.0

    return Settings.size * x


def many_iterations(x):
    n = 0.0
    while x < 1e9:  # <- here
        x = x + 1.0
        n = n + x
    return n


def asserted(x):
    y = np.sin(x)
    assert y > 0, "the sine must be positive"  # <- here
    return np.log(y)


def index_out_of_range(x):
    table = np.array([0.1, 0.2, 0.5])
    return x * table[int(x)]  # <- here


def written_out_of_range(x):
    histogram = np.zeros(3)
    histogram[int(x)] += x  # <- here
    return histogram.sum()


def raised(x):
    if x < 0:
        raise ValueError("negative temperatures do not exist")  # <- here
    return np.sqrt(x)


def raised_in_a_callee(x):
    def root(y):
        if y < 0:
            raise ArithmeticError("no real root")  # <- here
        return np.sqrt(y)

    total = 0.0
    for step in range(3):
        total += root(x - step)
    return total


def fell_through(x):
    for guess in range(5):
        if guess > x:
            return guess * x
    raise RuntimeError("no guess was large enough")  # <- here


IN_THE_RUN = [
    Unliftable(nothing_in_a_sum, (1.0,), "returned value is used where it is None", "is not None"),
    Unliftable(nothing_in_an_array, (1.0,), "returned value is used where it is None", "is not None"),
    Unliftable(nothing_read_by_a_generator, (1.0,), "None"),
    Unliftable(nothing_read_by_a_class, (1.0,), "None"),
    Unliftable(many_iterations, (1.0,), r"10[ _,]?000", "max_iterations"),
    Unliftable(asserted, (4.0,), "the sine must be positive", None),
    Unliftable(index_out_of_range, (7.0,), r"index|range|bounds"),
    Unliftable(written_out_of_range, (5.0,), r"index|range|bounds"),
    Unliftable(raised, (-1.0,), "negative temperatures do not exist", None),
    Unliftable(raised_in_a_callee, (1.5,), "no real root", None),
    Unliftable(fell_through, (9.0,), "no guess was large enough", None),
]


def zeros_of_a_count(n, x):
    """A count that `jax.jit` traces, unless it is static."""
    y = np.zeros(n) + x  # <- here
    return y.sum()


# -- results that have no gradient


def complex_result(x):
    return x + 2j * x  # <- here


def vector_result(x):
    return np.array([x, x**2])  # <- here


def no_result(x):
    x**2


def text_result(x):
    return f"{x}"  # <- here


RESULTS = [
    Unliftable(complex_result, (2.0,), "complex", "real|abs"),
    Unliftable(vector_result, (2.0,), r"scalar|number|shape|\(2,\)", "sum|jacobian|lift"),
    Unliftable(no_result, (2.0,), "None"),
    Unliftable(text_result, (2.0,), "str|text|string|format"),
]
