"""index.html: what it shows, that a report can put nothing into it but text, and how it looks in a browser, from the disk."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from spanax.gallery._index.style import STYLE
from spanax.gallery.index import update_index, write_index
from spanax.gallery.problems import PROBLEMS
from tests.web.browser import ARGUMENTS, check_accessible, chromium, watch

VOID = {"meta", "img"}
EVIL = "<script>alert(1)</script>\" onerror='x' &amp;"


class Page(HTMLParser):
    """Tags are closed as they were opened; what a script or a link would need is noted."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def leave(folder, report, *pictures):
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(report if isinstance(report, str) else json.dumps(report))
    for name in pictures:
        Image.new("RGB", (900, 500), "white").save(folder / name)


@pytest.fixture
def full(tmp_path):
    """A folder with a usual result, a long table, a damaged report, and a hostile one."""
    rows = [{"name": f"way {i}", "test_accuracy": 0.5 + i / 100, "gradient_variance": 1e-3 * i} for i in range(5)]
    leave(tmp_path / "tour", {"problem": "tour", "settings": {"steps": 5}, "learnt": rows, "score": 0.5}, "tour.png")
    wide = [{f"a_long_name_of_a_column_{i}": i / 7 for i in range(12)}] * 30
    leave(tmp_path / "pendulum", {"problem": "pendulum", "interrupted": True, "rows": wide}, "x.png", "x.gif")
    leave(tmp_path / "vae", "{", "curves.png")
    leave(
        tmp_path / "evil", {"problem": EVIL, "settings": {EVIL: EVIL}, EVIL: EVIL, "rows": [{EVIL: EVIL}]}, "a b'\".png"
    )
    return tmp_path


def test_it_shows_every_result_with_its_pictures_and_figures_and_says_what_was_not_run(full):
    page = Page(write_index(full).read_text())
    text = " ".join(" ".join(page.words).split())
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources == ["tour/tour.png", "vae/curves.png", "pendulum/x.png", "pendulum/x.gif", "evil/a%20b%27%22.png"]
    assert all(value for name, value in page.attributes if name == "alt")
    assert "test accuracy" in text and "0.54" in text and "score" in text
    assert "Interrupted: these are the results up to then." in text and "No figures: result.json is damaged." in text
    assert f"Not run yet: {len(PROBLEMS) - 3}" in text and "spanax gallery mpc" in text and "rows: 30 rows" in text


def test_a_report_is_text_and_the_page_needs_nothing_but_its_folder(full):
    page = Page(write_index(full).read_text())
    assert "script" not in page.tags and not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value for name, value in page.attributes if name in ("src", "href")]
    assert links and not [link for link in links if re.match(r"\w+:|//|/|\.\.", link)]
    assert "url(" not in STYLE and "@import" not in STYLE
    assert EVIL in page.words  # as it was written, and shown as text


def test_a_page_of_ours_is_brought_up_to_date_and_another_one_left_alone(full):
    assert update_index(full) is None and not (full / "index.html").exists()
    (full / "index.html").write_text("<p>mine")
    assert update_index(full) is None and (full / "index.html").read_text() == "<p>mine"
    before = write_index(full).read_text()
    leave(full / "mpc", {"problem": "mpc"})
    assert update_index(full) == full / "index.html" and before != (full / "index.html").read_text()
    assert sorted(path.name for path in full.iterdir()) == ["evil", "index.html", "mpc", "pendulum", "tour", "vae"]


def test_an_empty_folder_has_a_page_too(tmp_path):
    text = " ".join(Page(write_index(tmp_path / "new").read_text()).words)
    assert "No results yet." in text and "spanax gallery tour" in text


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme):
    part = STYLE.partition("@media")[2 * (scheme == "dark")]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
    for paper in ("paper", "card"):
        for ink in ("ink", "quiet", "link", "bad"):
            light, dark = sorted((luminance(colours[paper]), luminance(colours[ink])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, ink, paper)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_from_the_disk_in_a_browser(full, width, scheme):
    executable = chromium()
    from playwright.sync_api import sync_playwright

    path = write_index(full)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        with watch(browser, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
            page.goto(path.as_uri())
            # All that can be opened is: what is folded is looked at, too.
            page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
            page.eval_on_selector_all("img", "all => all.forEach(one => one.loading = 'eager')")
            page.wait_for_function("[...document.images].every(one => one.complete && one.naturalWidth)")
            check_accessible(page)
            page.get_by_role("link", name="Swing a pendulum up").first.click()
            assert page.url.endswith("#pendulum")
        browser.close()
