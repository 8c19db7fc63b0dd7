"""What `spanax gallery attention` and `sorting` print."""

import contextlib
import io

import numpy as np

from spanax.cli._gallery.attention import print_attention
from spanax.cli._gallery.sorting import print_sorting
from spanax.gallery import attention, sorting
from spanax.gallery._attention import result as attention_result
from spanax.gallery._sorting import result as sorting_result


def printed(show, result):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        show(result)
    rows = out.getvalue().splitlines()
    assert all(len(row) <= 80 for row in rows if not row.startswith("Wrote "))
    return rows


def test_the_attention_has_a_row_for_each_way_and_says_how_many_places_it_uses(tmp_path):
    looks = attention_result.Looks(np.zeros((10, 8, 8)), np.arange(10), np.zeros((10, 3, 36)))
    outcomes = [
        attention_result.Outcome(name, seed, ((1, 2.0, right + 0.1 * (seed - 3)),), 1.26, (1.0, 1.5, 35.04), looks)
        for seed in (3, 4)
        for name, right in (("random places", 0.5), ("straight-through", 0.9), ("soft attention", 0.8))
    ]
    learners = attention_result.collect(outcomes)
    result = attention.Result(attention.Settings(1500, 2, 3), learners, False, (tmp_path / "attention.png",))
    rows = printed(print_attention, result)
    assert rows[0].rstrip() == "Three glimpses of 3x3 pixels: 1,500 steps, 2 seeds from 3 on"
    words = [row.split() for row in rows]
    assert ["random", "places", "55.0", "50.0", "to", "60.0", "35.0", "2.0", "1.3"] in words
    assert ["soft", "attention", "85.0", "80.0", "to", "90.0", "all", "2.0", "1.3"] in words
    assert rows[-1] == f"Wrote {tmp_path / 'attention.png'}"
    one = attention.Result(attention.Settings(400, 1, 3), attention_result.collect(outcomes[:3]), True, ())
    assert "400 steps, seed 3" in printed(print_attention, one)[0]


def test_the_sorting_has_a_table_for_each_size_of_the_groups(tmp_path):
    shown = sorting_result.Shown(*[np.zeros(1)] * 4)
    outcomes = [
        sorting_result.Outcome(name, size, seed, sorting_result.Judged(right / size, right), 2.0, 1.0, shown)
        for seed in (0, 1)
        for size in (3, 9)
        for name, right in (("StraightThrough(Soft)", 0.75), ("told the digits", 0.9))
    ]
    settings = sorting.Settings(1000, 2, 0, (3, 9))
    files = (tmp_path / "sorting.png", tmp_path / "result.json")
    rows = printed(print_sorting, sorting.Result(settings, sorting_result.collect(outcomes), False, files))
    titles = [row.rstrip() for row in rows if row.startswith("Groups of ")]
    assert titles == [f"Groups of {size} pictures: 1,000 steps, 2 seeds from 0 on" for size in (3, 9)]
    words = [row.split() for row in rows]
    assert ["StraightThrough(Soft)", "25.0", "25.0", "to", "25.0", "75.0", "2.0"] in words
    assert ["told", "the", "digits", "10.0", "10.0", "to", "10.0", "90.0", "2.0"] in words
    assert rows[-2:] == [f"Wrote {path}" for path in files]
    assert printed(print_sorting, sorting.Result(settings, (), True, files)) == rows[-2:]
