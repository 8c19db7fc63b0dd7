"""Text and tables for any width: nothing is cut off, nothing is wider."""

import random
from collections import Counter

import pytest

from spanax._layout import filled, records, table, together

WORDS = [
    "a",
    "of",
    "gradient",
    "sx.hard.where(mask,values)",
    "x" * 50,
    "params['w'][0]",
    "1e-3,",
    "-",
    "(a)",
    "jnp.sum(jnp.round(w))",
]


def whole(lines):
    return "".join("".join(lines).split())


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_filled_keeps_every_character_within_the_width(width):
    words = random.Random(width)
    for _ in range(200):
        text = " " * words.choice([0, 2, 4]) + " ".join(words.choices(WORDS, k=words.randrange(1, 12)))
        lines = filled(text, width, " " * words.choice([0, 2, 8]))
        assert whole(lines) == whole([text]) and max(map(len, lines)) <= width
        assert not any(line != line.rstrip() for line in lines)
        words_that_fit = [word for word in text.split() if len(word) <= width - 8]
        assert all(any(word in line for line in lines) for word in words_that_fit), (text, lines)


def test_code_is_divided_behind_its_brackets_and_a_path_not_at_all():
    assert filled("sx.hard.where(mask, via=sx.Soft(0.1))", 20, "  ") == ["sx.hard.where(mask,", "  via=sx.Soft(0.1))"]
    assert filled("some.module.function(argument)", 20, "  ") == ["some.module.", "  function(argument)"]
    path = "/a/folder/with/a/long/name/module.py:12"
    assert filled(f"at {path}", 20, "  ", cut=False) == [f"at {path}"]
    assert filled("", 20) == [""]


def test_what_belongs_together_is_divided_only_where_it_must_be():
    assert filled(f"an error of {together('20.2 us')} a gradient", 18) == ["an error of", "20.2 us a gradient"]
    assert max(map(len, filled(together("a phrase that no line of this width can hold"), 20))) <= 20


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_table_holds_all_of_its_cells_within_the_width(width):
    heads = ("line", "operation", "cuts", "source")
    rows = [
        ("model.py:4", "round", "w, x", "jnp.sum(jnp.round(w * x) + w)"),
        ("model.py:12", "greater or equal", "x", "x > 0"),
    ]
    lines = table(heads, rows, width, right=[2])
    assert max(map(len, lines)) <= width
    assert Counter(whole(lines)) >= Counter(whole([cell for row in rows for cell in row]))
    if width >= 80:  # in columns, each head above its own
        assert all(lines[0].index(head) for head in heads[1:]) and lines[1].index("round") == lines[0].index(
            "operation"
        )
    if width == 20:
        assert lines == records(heads, rows, width) and lines[:3] == [
            "model.py:4",
            "  operation: round",
            "  cuts: w, x",
        ]
