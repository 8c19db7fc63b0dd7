"""`spanax.gallery.results.collect` on folders as runs leave them, and as nobody should find them."""

import json
import math
import subprocess
import sys

import pytest

from spanax.gallery.results import MOST_BYTES, collect, shown

REPORT = {
    "problem": "pendulum",
    "interrupted": False,
    "settings": {"updates": 500, "bridges": ["a", "b"]},
    "versions": {"jax": "0.10.2"},
    "python": "3.11.2",
    "device": "cpu",
    "judgement": {"judge": "Gymnasium", "mean": -150.25, "curve": [1, 2]},
    "score": 0.5,
    "rows": [{"name": "x", "error": 1e-9, "curve": [[1, 2]]}, {"name": "y", "extra": None}],
}


def leave(folder, report, *pictures):
    folder.mkdir(parents=True)
    if report is not None:
        (folder / "result.json").write_text(report if isinstance(report, str) else json.dumps(report))
    for name in pictures:
        (folder / name).write_bytes(b"picture")


def test_a_record_has_the_settings_figures_tables_and_pictures_of_a_run(tmp_path):
    leave(tmp_path / "pendulum", REPORT, "pendulum.png", "pendulum.gif", "runs.db", "note.html")
    (record,) = collect(tmp_path)
    assert record.name == "pendulum" and record.title.startswith("Swing a pendulum up")
    assert record.settings == {"updates": 500, "bridges": "a, b"} and record.problem == "" and not record.interrupted
    assert record.figures == {"judgement.judge": "Gymnasium", "judgement.mean": -150.25, "score": 0.5}
    assert record.pictures == ("pendulum/pendulum.gif", "pendulum/pendulum.png")
    (table,) = record.tables
    assert table.heads == ("name", "error", "extra") and table.rows == (("x", 1e-9, None), ("y", None, None))


def test_the_order_is_that_of_the_registry_and_others_come_last(tmp_path):
    for name, problem in (("zebra", "zebra"), ("again", "vae"), ("mpc", "mpc"), ("vae", "vae")):
        leave(tmp_path / name, {"problem": problem})
    records = collect(tmp_path)
    assert [record.name for record in records] == ["vae", "mpc", "again", "zebra"]
    # A run in a folder of another name is still one of its problem.
    assert records[0].title == records[2].title != "vae" and records[3].title == "zebra"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "damaged"),
        ('{"problem": "vae", "settings": {"seed"', "damaged"),
        ("[" * 100_000, "damaged"),
        ("[1, 2]", "holds no report"),
        ("null", "holds no report"),
        (None, "missing"),
        (" " * (MOST_BYTES + 1), "too large"),
    ],
)
def test_a_report_that_is_none_is_said_to_be_so(tmp_path, content, problem):
    leave(tmp_path / "vae", content, "curves.png")
    (record,) = collect(tmp_path)
    assert problem in record.problem and record.figures == {} and record.tables == ()
    assert record.pictures == ("vae/curves.png",) and record.title.startswith("A VAE")


def test_values_of_the_wrong_kind_are_left_out_not_raised(tmp_path):
    odd = {
        "problem": ["x"],
        "interrupted": "yes",
        "settings": 3,
        "rows": [1, {"a": {}}, {"b": 1}],
        "deep": {"x": {"y": 1}},
    }
    leave(tmp_path / "odd", json.dumps({**odd, "infinite": math.inf, "nothing": None}))
    (record,) = collect(tmp_path)
    assert record.settings == {} and record.figures == {"nothing": None} and not record.interrupted
    assert record.tables[0].rows == ((None,), (1,))


def test_bytes_that_are_no_text_and_a_report_that_is_a_folder(tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "result.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "mpc" / "result.json").mkdir(parents=True)
    (tmp_path / "mpc" / "mpc.png").write_bytes(b"")
    assert ["damaged" in record.problem or "missing" in record.problem for record in collect(tmp_path)] == [True, True]


def test_links_are_not_followed(tmp_path):
    leave(tmp_path / "secret", {"problem": "vae"}, "secret.png")
    shared = tmp_path / "gallery-out"
    leave(shared / "vae", {"problem": "vae"})
    (shared / "vae" / "out.png").symlink_to(tmp_path / "secret" / "secret.png")
    (shared / "mpc").symlink_to(tmp_path / "secret")
    leave(shared / "aim", None, "aim.png")
    (shared / "aim" / "result.json").symlink_to(tmp_path / "secret" / "result.json")
    records = collect(shared)
    assert [(record.name, record.pictures) for record in records] == [("vae", ()), ("aim", ("aim/aim.png",))]
    assert records[1].problem == "result.json is missing"


def test_a_folder_that_is_not_there_or_is_a_file_or_holds_other_things_has_no_records(tmp_path):
    (tmp_path / "file").write_text("")
    leave(tmp_path / "other" / "folder", None, "picture.png")
    leave(tmp_path / ".hidden", {"problem": "vae"})
    assert [collect(tmp_path / name) for name in ("none", "file", "other", ".")] == [[], [], [], []]


def test_figures_are_shown_shortly():
    values = None, True, 12345, 0.123456, 98765.4, 1e-7, 1e12, "text"
    assert [shown(value) for value in values] == ["-", "yes", "12,345", "0.1235", "98,765", "1e-07", "1e+12", "text"]


def test_neither_file_imports_jax_by_itself():
    script = (
        "import sys, types; sys.modules['spanax'] = p = types.ModuleType('spanax'); p.__path__ = ['spanax']; "
        "import spanax.gallery.results; assert not {'jax', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
