"""The pages in a browser: no error, nothing asked of other machines, and readable by all."""

import pytest

from .browser import check_accessible, chromium, watch
from .test_streams import running_trainings, until_none_runs

PAGES = ["", "toys/find.html"]
READ = """() => {
    window.seen = 0;
    window.ending = new AbortController();
    const endless = {to: 100000, pause: 0.005};
    Spanax.stream("test/count", endless, () => { window.seen += 1; }, window.ending.signal).catch(() => 0);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_on_a_desk_and_on_a_phone(page, phone, path, scheme):
    for one in (page, phone):
        one.emulate_media(color_scheme=scheme)
        one.goto(path)
        assert one.locator("h1").count() == 1 and one.locator("nav a[aria-current=page]").count() == 1
        check_accessible(one)


def test_the_first_tab_leads_past_the_navigation(page):
    page.goto("toys/find.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


@pytest.mark.parametrize("end", ["closed", "left", "aborted"])
def test_a_training_ends_with_its_page(browser, server, end):
    with watch(browser, base_url=server.url) as page:
        page.goto("toys/find.html")
        page.evaluate(READ)
        while page.evaluate("window.seen") < 3:  # not wait_for_function, which evaluates a text in the page
            page.wait_for_timeout(20)
        assert len(running_trainings()) == 1
        {
            "closed": page.close,
            "left": lambda: page.goto("about:blank"),
            "aborted": lambda: page.evaluate("window.ending.abort()"),
        }[end]()
        until_none_runs()


def test_a_training_is_read_to_its_end(page):
    page.goto("toys/find.html")
    read = "Spanax.stream('test/count', {to: 500, pause: 0}, i => all.push(i.i)).then(() => all)"
    assert page.evaluate(f"(all => {read})([])") == list(range(500))
    refused = "Spanax.stream('test/count', {to: 0}, () => 0).catch(error => error.message)"
    assert "to is a whole number between 1 and" in page.evaluate(refused)
    page.errors.clear()  # the browser's own line on a status of 422


def test_an_error_of_a_page_is_noticed(browser, server):
    """The watch itself: a script that fails, a style that the policy forbids, a request to another machine."""
    with watch(browser, base_url=server.url) as page:
        page.goto("")
        page.evaluate("setTimeout(() => { throw new Error('planted') })")
        page.evaluate("document.body.setAttribute('style', 'color: red')")
        page.evaluate("fetch('http://192.0.2.1/').catch(() => 0)")
        page.wait_for_timeout(300)
        text = " | ".join(page.errors)
        page.errors.clear()
    assert "planted" in text and "style" in text and "192.0.2.1" in text


def test_a_missing_browser_skips_except_where_it_is_required(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("SPANAX_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium()
    monkeypatch.setenv("SPANAX_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="SPANAX_BROWSER=required"):
        chromium()
