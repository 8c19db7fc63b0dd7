"""The first page: results as they are, whatever their reports hold, and nothing of them as markup."""

import json
import shutil

import pytest

from spanax.gallery.web._server.gallery import PLACE, render

from .asking import ask
from .browser import check_accessible
from .conftest import PIXEL

MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
REPORT = {
    "problem": "vae",
    "interrupted": True,
    "settings": {"steps": 500, MARKUP: MARKUP},
    "test_accuracy": 0.9312345,
    "nothing": None,
    MARKUP: MARKUP,
    "nested": {"bleu_after": 41.25, MARKUP: 1},
    "bridges": [{"name": MARKUP, "elbo": -21.25}, {"name": "reinmax", MARKUP: 3}],
    **{f"figure_{i}": i for i in range(12)},
}


@pytest.fixture
def results(folder):
    """Two more runs in the gallery: one of a known problem, with every kind of thing in its report, and a damaged one."""
    (folder / "vae").mkdir()
    (folder / "vae" / "result.json").write_text(json.dumps(REPORT))
    (folder / "vae" / "a 'picture' of 100%.png").write_bytes(PIXEL)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "result.json").write_text("{")
    yield folder
    shutil.rmtree(folder / "vae")
    shutil.rmtree(folder / "damaged")


def test_nothing_of_a_report_is_markup(results):
    page = render(PLACE, results)
    assert "<script" not in page and "<img src=x" not in page and MARKUP not in page
    assert page.count("&lt;script&gt;") >= 7


def test_what_a_reader_sees(results, page, phone):
    for one in (page, phone):
        one.goto("")
        text = one.inner_text("#result-vae")
        assert "A VAE with 200 binary latents" in text and "spanax gallery vae" in text and "Interrupted" in text
        assert "test accuracy" in text and "0.9312" in text and "figure 11" not in text
        assert "damaged" in one.inner_text("#result-damaged")
        picture = one.locator("#result-vae img")
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
        for summary in one.locator("#result-vae summary").all():
            summary.click()
        assert "figure 11" in one.inner_text("#result-vae") and "reinmax" in one.inner_text("#result-vae")
        check_accessible(one)


def test_new_results_are_there_when_the_page_is_loaded_again(server, results):
    assert b"result-later" not in ask(server, "/").body
    (results / "later").mkdir()
    (results / "later" / "result.json").write_text(json.dumps({"problem": "later", "bleu": 1}))
    assert b"result-later" in ask(server, "/").body
    shutil.rmtree(results / "later")


def test_without_results_it_says_what_makes_them(tmp_path):
    assert "spanax gallery tour" in render(PLACE, tmp_path / "not there")


def test_a_link_in_the_folder_leads_nowhere(server, folder):
    """A run that is a link out of the folder is no result, and its picture is not shown."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "result.json").write_text(json.dumps({"problem": "outside", "secret": 42}))
    (folder / "link").symlink_to(outside)
    assert b"outside" not in ask(server, "/").body
    assert ask(server, "/results/link/result.json").status == 404
    (folder / "link").unlink()
    shutil.rmtree(outside)
