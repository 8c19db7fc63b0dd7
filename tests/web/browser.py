"""Chromium for the tests: where it is, how it starts, and what counts as an error."""

import contextlib
import ipaddress
import os
import shutil
from urllib.parse import urlsplit

import pytest

# Chromium has habits of its own, such as asking its maker for updates: none of them here.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium():
    """The browser's path. Without one the test is skipped, or fails where SPANAX_BROWSER is `required`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("SPANAX_BROWSER") == "required":
        pytest.fail("there is no chromium, and SPANAX_BROWSER=required: apt-get install chromium")
    if found is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    return found


@contextlib.contextmanager
def watch(browser, **options):
    """A page whose errors fail the test at its end. What a test expects it takes out of `page.errors`."""
    with contextlib.closing(browser.new_context(**options)) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.errors = []
        page.on("console", lambda message: message.type in ("error", "warning") and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: _leaves(request.url) and page.errors.append(f"asks {request.url}"))
        yield page
        assert page.errors == []


def _leaves(url):
    """Does a request leave this machine?"""
    parts = urlsplit(url)
    if parts.scheme in ("data", "blob", "file", "about"):
        return False
    host = parts.hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def check_accessible(page):
    """axe-core finds nothing serious, and the page is not wider than its window."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [
        f"{rule['id']}: {rule['help']}: {node['html']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert serious == []
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"the page is {width[0]} px wide, its window {width[1]}"
