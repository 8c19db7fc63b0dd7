"""What `spanax gallery retrieval` and `words` print, from results that are made up."""

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app
from spanax.cli._gallery.retrieval import print_retrieval
from spanax.cli._gallery.words import print_words
from spanax.gallery import retrieval, words
from spanax.gallery._retrieval import training as reading
from spanax.gallery._retrieval.result import Example, collect as collect_retrieval
from spanax.gallery._words import training as writing
from spanax.gallery._words.result import Sample, collect as collect_words


def test_the_retrieval_prints_one_row_for_each_way_and_an_example(tmp_path, capsys):
    outcomes = [
        reading.Outcome(
            name, seed, (reading.Judged(0, 0.5, 0.4, (1,)), reading.Judged(9, 0.9 + seed / 100, 0.875, (2,))), 0.9, 12.0
        )
        for name in retrieval.WAYS
        for seed in (0, 1)
    ]
    shown = Example(("close", "matches"), "difflib.get_close_matches", dict.fromkeys(retrieval.WAYS, "os.walk"))
    settings, files = retrieval.Settings(1000, 2, 0), (tmp_path / "retrieval.png",)
    print_retrieval(retrieval.Result(settings, None, collect_retrieval(outcomes), shown, False, files))
    rows = capsys.readouterr().out.splitlines()
    assert max(map(len, rows[:-1])) <= 80 and "1,000 steps, 2 seeds from 0 on" in rows[0]
    found = [row.split() for row in rows if row.startswith("  leave-one-out ")]
    assert found == [["leave-one-out", "90.5", "90.0", "to", "91.0", "87.5", "12.0"]]
    assert "    leave-one-out: os.walk" in rows and any("close, matches" in row for row in rows)


def test_the_words_print_one_row_for_each_way_and_what_was_written(tmp_path, capsys):
    before, after = writing.Judged(0, 60.0, 61.0, 0.25, ("six",)), writing.Judged(9, 90.0, 91.0, 0.75, ("",))
    outcomes = [writing.Outcome(name, 3, (before, after), 12.0) for name in words.WAYS]
    shown, files = (Sample(7, "seven", "six", ""),), (tmp_path / "words.png",)
    print_words(words.Result(words.Settings(500, 1, 3), collect_words(outcomes), shown, False, files))
    rows = capsys.readouterr().out.splitlines()
    assert max(map(len, rows[:-1])) <= 80 and "500 updates, seed 3" in rows[0]
    found = [row.split() for row in rows if row.startswith("  self-critical ")]
    assert found == [["self-critical", "60.0", "90.0", "30.0", "25,", "75", "12.0"]]
    assert "7 before: six" in rows and "7 after: (nothing)" in rows


@pytest.mark.parametrize(
    "command", [["retrieval", "--steps", "0"], ["words", "--updates", "0"], ["words", "--seeds", "0"]]
)
def test_too_few_of_anything_are_refused(command, tmp_path):
    refused = CliRunner().invoke(app, ["gallery", *command, "--out", str(tmp_path / "out")])
    assert refused.exit_code == 2 and command[1] in refused.stderr and not (tmp_path / "out").exists()
