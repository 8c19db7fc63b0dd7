"""The page `find` in a browser: examples, marks, markup that stays text, and what keyboard and closing do."""

import pytest

from .browser import check_accessible, watch
from .running import running
from .test_find import _until, confined


@pytest.fixture(scope="module")
def allowing(folder, examples):
    with running(folder, allow_code=True) as server:
        server.app.state.find.spare.enabled = False  # so that what is left over can be counted
        yield server


@pytest.fixture
def find(browser, allowing):
    with watch(browser, base_url=allowing.url, viewport={"width": 1280, "height": 900}) as page:
        page.goto("toys/find.html")
        yield page


def answer(page):
    page.wait_for_selector("#form[aria-busy=false]", timeout=90_000)
    return page.inner_text("#verdict")


def test_the_first_example_marks_its_line_and_says_what_held(find):
    find.click("#look")
    assert answer(find).startswith("f: partial")
    (line,) = find.query_selector_all("#lines .is-cut")
    assert "jnp.round" in line.inner_text() and "sx.hard.round" in line.inner_text()
    held = find.inner_text("#held")
    assert "network" in held and "processes" in held and "memory" in held
    check_accessible(find)


def test_keyboard_and_text_alone(find):
    """Markup in a program, in its output and in its errors is shown as it stands."""
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    find.fill("#source", f"print('{markup}')\ndef f(x):\n    return jnp.floor(x)  # {markup}\n")
    find.fill("#arguments", "1.5")
    find.focus("#source")
    find.keyboard.press("Control+Enter")
    assert answer(find).startswith("f: dead")
    assert markup in find.inner_text("#printed") and markup in find.inner_text("#lines")
    assert find.locator("#answer img, #answer script").count() == 0


@pytest.mark.slow
def test_a_mistake_is_shown_at_its_line(find):
    find.fill("#source", "def f(x):\n    return jnp.sin(x) + nothing\n")
    find.fill("#arguments", "1.0")
    find.click("#look")
    assert "nothing" in answer(find)
    (line,) = find.query_selector_all("#lines .is-cut")
    assert "jnp.sin" in line.inner_text() and "name 'nothing' is not defined" in line.inner_text()


def test_stopping_and_closing_end_the_process(find):
    for end in (lambda: find.click("#stop"), lambda: find.goto("about:blank")):
        find.fill("#source", "while True:\n    pass\n")
        find.click("#look")
        _until(lambda: len(confined()) == 1)
        end()
        _until(lambda: not confined())
    find.errors.clear()


@pytest.mark.slow
def test_every_example_can_be_looked_at(find):
    expected = ["partial", "w: dead", "piecewise", "partial", "alive", "NaN", "alive"]
    assert find.locator("#example option").count() == len(expected)
    for i, verdict in enumerate(expected):
        find.select_option("#example", index=i)
        find.click("#look")
        text = answer(find)
        assert verdict in text and find.locator("#held dt").count() == 5, (i, text)


def test_where_code_is_not_allowed_the_page_says_how_it_is(page):
    page.goto("toys/find.html")
    page.wait_for_selector("#off:not([hidden])")
    assert "spanax serve --allow-code" in page.inner_text("#off") and page.is_disabled("#look")


def test_from_a_file_it_says_that_it_needs_a_server(browser):
    from spanax.gallery.web.app import ASSETS_FOLDER

    with watch(browser) as page:
        page.goto((ASSETS_FOLDER / "find.html").as_uri())
        assert "spanax serve" in page.inner_text("#off")
