"""Elements of lists by numbers that depend on the arguments, and lists that grow in loops: as Python has it, or an error."""

import re

import numpy as np
import pytest

import spanax as sx


def rows_written_in_a_long_loop(a):
    rows, arrays, total = [[0.0, 0.0] for _ in range(12)], [np.zeros(2) for _ in range(12)], 0.0
    for i in range(12):
        rows[i][1] = a * i
        arrays[i][0] = a * rows[i][1]
    for row in rows:
        row[0] = row[1] * a
    for i in range(12):
        total += sum(rows[i]) + arrays[i][0] * i
    return total + rows[1][1] * 100


def a_table_by_a_branch(a):
    table = [[0.0 for _ in range(4)] for _ in range(5)]
    for i in range(5):
        for j in range(4):
            table[i][j] = a * i if a * j < 4.0 else 1.0
    return table[1][1] + 10 * table[2][3]


def rows_read(a):
    k, rows = int(a), [[a, 1.0], [2 * a, 0.0], [0.0, a]]
    x, n = [(a, 1), (3 * a, 3)][k]
    copied = list(rows[k])
    copied[0] = 5 * a
    return sum(rows[k] * 2) + len(rows[k] + [1.0]) * a + x * n + copied[0] + rows[1][0]


def written_at_a_place(a):
    counts, rows, best, i = [0] * 4, [[a * k, 1.0] for k in range(3)], [0.0] * 10, 1
    for x in np.linspace(0, a, 12):
        counts[int(x)] += 1
    rows[int(a)], rows[0] = rows[0], [a**2, 2.0]
    best[0] = a
    while i * a < 11:
        best[i] = max(best[i - 1] * 1.1, best[i - 1] + a)
        i += 1
    return a * counts[0] + counts[1] * a**2 + rows[1][1] * a + rows[0][0] + max(best)


def grown_while_a_known_test_holds(a):
    t, xs, names, missing = 0.0, [], [], []
    while t <= 1.0:
        a = a * 1.1
        xs.append(a)
        t += 0.1
    for k in range(20):
        names.append("x")
        missing.append(a * k if a * k < 9 else None)
    return np.sum(xs) + len(names) * len(missing) * a + (1.0 if missing[-1] is None else 0.0)


@pytest.mark.parametrize(
    "f",
    [rows_written_in_a_long_loop, a_table_by_a_branch, rows_read, written_at_a_place, grown_while_a_known_test_holds],
)
def test_as_python_has_it(f):
    value, slope = sx.value_and_gradient(f, 1.6)
    h = 1e-4
    np.testing.assert_allclose(value, f(1.6), rtol=1e-12)
    np.testing.assert_allclose(slope, (f(1.6 + h) - f(1.6 - h)) / (2 * h), rtol=1e-6)


def row_written(a):
    rows = [[0.0, 0.0] for _ in range(4)]
    rows[int(a)][1] = a  # <- here
    return rows[1][1]


def array_written(a):
    rows = [np.zeros(2) for _ in range(4)]
    rows[int(a)] += a  # <- here
    return rows[1][1]


def written_in_a_while(a):
    rows, i = [[0.0, 0.0] for _ in range(12)], 0
    while i * a < 10.0:
        rows[i][1] = a * i  # <- here
        i += 1
    return rows[1][1]


def read_after_the_list_was_written(a):
    rows = [[a, 1.0], [2 * a, 0.0]]
    row = rows[int(a)]
    rows[1][0] = 9.0 * a
    return row[0]  # <- here


def of_another_kind(a):
    things = ["x", None, a]
    things[int(a)] = 2.0 * a  # <- here
    return things[1]


REFUSED = [row_written, array_written, written_in_a_while, read_after_the_list_was_written, of_another_kind]


@pytest.mark.parametrize("f", REFUSED)
def test_what_cannot_be_kept_is_an_error_at_its_line(f):
    with open(__file__) as file:
        lines = file.read().splitlines()
    start = f.__code__.co_firstlineno
    line = next(n for n in range(start, len(lines)) if "# <- here" in lines[n - 1])
    with pytest.raises(sx.SpanaxError, match=rf"test_elements\.py:{line}\b") as caught:
        sx.value_and_gradient(f, 1.6)
    assert re.search(r"list|array", str(caught.value))


def fails_again(x):
    try:
        y = 1.0 / x + np.sqrt(x)
    except ZeroDivisionError as error:
        raise ValueError("x must not be 0") from error
    except:
        print("failed at", x)
        raise
    return y * x**2


def goes_on(x):
    try:
        y = 1.0 / x  # <- here
    except ZeroDivisionError:
        if x > 0:
            return 0.0
        raise
    return y


def test_a_handler_that_fails_again_changes_nothing():
    value, slope = sx.value_and_gradient(fails_again, 4.0)
    assert value == 36.0 and abs(slope - (1 + 2.5 * 4**1.5)) < 1e-12
    with pytest.raises(sx.SpanaxError, match="which handler runs"):
        sx.value_and_gradient(goes_on, 4.0)
