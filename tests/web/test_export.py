"""The copy in files: what is in it, how large, and where it is not written."""

import json
import warnings

import pytest

from spanax._errors import SpanaxError, SpanaxWarning
from spanax.gallery.web import export as module
from spanax.gallery.web._toys import ACTIONS, FIRST
from spanax.gallery.web._toys.recordings import GRIDS, record
from spanax.gallery.web.export import export


def test_every_action_has_a_page_and_a_grid():
    # A network of one's own is the server's to train.
    assert set(GRIDS) == set(FIRST) == set(module.PAGES)
    for page in module.PAGES.values():
        assert module.PLACE in (module.ASSETS / f"{page}.html").read_text()


def test_a_recording_is_a_plain_script_with_the_answers_in_order():
    axes = {"angle": [1.0, 2.0], "velocity": [0.0, 3.0]}
    script = record("pendulum/swing", axes)
    start, end = script.index("{}, ") + 4, script.rindex(")")
    there = json.loads(script[start:end])["pendulum/swing"]
    assert there["axes"] == [["angle", [1.0, 2.0]], ["velocity", [0.0, 3.0]]]
    assert there["answers"][2] == ACTIONS["pendulum/swing"]({"angle": 2.0, "velocity": 0.0})


def test_a_copy_has_the_results_and_no_link_leads_out_of_it(folder, tmp_path):
    stages = []
    files = export(folder, tmp_path / "copy", grids={}, on_stage=stages.append)
    assert files[0] == tmp_path / "copy" / "index.html" and stages == ["copying"]
    assert all(path.is_file() and path.is_relative_to(tmp_path / "copy") for path in files)
    text = files[0].read_text()
    assert 'src="results/sample/sample.png"' in text and "http" not in text.replace("http-equiv", "")
    # Again, in the place of the first; a run that has gone is gone.
    (folder / "sample" / "sample.png").rename(folder / "sample" / "other.png")
    try:
        export(folder, tmp_path / "copy", grids={})
    finally:
        (folder / "sample" / "other.png").rename(folder / "sample" / "sample.png")
    assert [path.name for path in (tmp_path / "copy" / "results" / "sample").iterdir() if path.suffix == ".png"] == [
        "other.png"
    ]


def test_the_largest_pictures_are_left_out_where_there_is_no_room(tmp_path, monkeypatch):
    run = tmp_path / "gallery" / "aim"
    run.mkdir(parents=True)
    (run / "result.json").write_text('{"problem": "aim"}')
    (run / "small.png").write_bytes(b"1" * 1000)
    (run / "large.gif").write_bytes(b"1" * 3_000_000)
    monkeypatch.setattr(module, "MOST_BYTES", 2_000_000)
    with pytest.warns(SpanaxWarning, match=r"1 pictures.*aim/large\.gif"):
        files = export(tmp_path / "gallery", tmp_path / "copy", grids={})
    assert sum(path.stat().st_size for path in files) < 2_000_000
    text = files[0].read_text()
    assert "small.png" in text and "large.gif" not in text


@pytest.mark.parametrize("where", ["gallery", "gallery/copy", "."])
def test_it_is_not_written_into_the_gallery_or_around_it(tmp_path, where):
    (tmp_path / "gallery").mkdir()
    with pytest.raises(SpanaxError, match="the gallery's own folder"):
        export(tmp_path / "gallery", tmp_path / where, grids={})


def test_somebody_elses_folder_is_kept(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    (there / "index.html").write_text("mine")
    with pytest.raises(SpanaxError, match="is kept"):
        export(tmp_path / "none", there, grids={})
    assert (there / "index.html").read_text() == "mine" and len(list(there.iterdir())) == 1
    with pytest.raises(SpanaxError, match="is a file"):
        export(tmp_path / "none", there / "index.html", grids={})


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpanaxError, match="cannot be written"):
        export(tmp_path / "none", tmp_path / "file" / "copy", grids={})


@pytest.mark.slow
def test_the_whole_copy_is_small(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = export(tmp_path / "none", tmp_path / "copy")
    assert sum(path.stat().st_size for path in files) < 6_000_000
