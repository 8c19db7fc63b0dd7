"""Which cases of a parametrised test are not marked slow."""

import itertools
import types

import pytest

from .selecting import covering, mark_slow

TABLE = [tuple(enumerate(values)) for values in itertools.product("abcdef", "xyz", "01")]


def test_every_value_is_shown_and_no_more_cases_than_that_takes():
    kept = [TABLE[number] for number in covering(TABLE)]
    assert {value for case in kept for value in case} == {value for case in TABLE for value in case}
    assert len(kept) == 6  # as many as the longest axis has
    assert [sum((1, letter) in case for case in kept) for letter in "xyz"] == [2, 2, 2]


def test_all_rows_of_a_single_table_are_kept_or_a_few_from_all_over_it():
    rows = [(("row", number),) for number in range(40)]
    assert covering(rows) == set(range(40))
    few = sorted(covering(rows, 5))
    assert len(few) == 5 and few[0] == 0 and max(b - a for a, b in itertools.pairwise([*few, 40])) <= 16


class Case:
    """What pytest has of a case, as far as it is asked for."""

    def __init__(self, function, marks, params=None):
        self.nodeid, self.marks, self.added = f"test_a.py::{function}[{params}]", [mark.mark for mark in marks], []
        if params is not None:
            self.callspec = types.SimpleNamespace(params=params)

    def iter_markers(self, name):
        return (mark for mark in self.marks if mark.name == name)

    def get_closest_marker(self, name):
        return next(self.iter_markers(name), None)

    def add_marker(self, name):
        self.added.append(name)


def left(cases):
    mark_slow(cases)
    return [case.callspec.params for case in cases if not case.added]


def test_a_row_of_a_table_is_one_value_and_a_fixture_s_parameter_another():
    rows, letters = [(1, "+"), (2, "-"), (1, "-")], "ab"
    marks = [pytest.mark.parametrize("number, sign", rows), pytest.mark.parametrize(["letter"], letters)]
    params = [
        {"number": number, "sign": sign, "letter": letter, "dtype": dtype}
        for dtype in ("float32", "float64")
        for letter in letters
        for number, sign in rows
    ]
    kept = left([Case("test_b", marks, each) for each in params])
    assert len(kept) == 3 and {(each["number"], each["sign"]) for each in kept} == set(rows)
    assert {each["letter"] for each in kept} == set(letters) and len({each["dtype"] for each in kept}) == 2
    few = left([Case("test_b", [*marks, pytest.mark.few(2)], each) for each in params])
    assert len(few) == 2 and {each["letter"] for each in few} == set(letters)


def test_each_test_is_looked_at_by_itself():
    marks = [pytest.mark.parametrize("x", [1, 2, 3]), pytest.mark.few(1)]
    cases = [Case(f"test_{name}", marks, {"x": x}) for name in "cd" for x in (1, 2, 3)]
    assert left(cases) == [{"x": 1}, {"x": 1}]
    alone = Case("test_e", [])
    mark_slow([alone])
    assert not alone.added
