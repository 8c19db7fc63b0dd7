"""A server with a small gallery, and a browser that tells of every error and every request that leaves the machine.

`server` and `page` are for all tests of the page: `page.goto("toys/trebuchet.html")` is relative to the server.
"""

import json
import threading
import time

import jax
import pytest

from spanax.gallery.web._server.toys import toys
from spanax.gallery.web.requests import number, whole

from .browser import ARGUMENTS, chromium, watch
from .running import running

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "a5f645400000000049454e44ae426082"
)


@pytest.fixture(autouse=True, scope="package")
def ordinary_promotion():
    """Networks mix types and ranks, which the other tests forbid. For all threads: the server computes in its own."""
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")
    yield
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A gallery with one result; beside it a file that nobody may read."""
    around = tmp_path_factory.mktemp("around")
    (around / "secret.json").write_text('"secret"')
    gallery = around / "gallery"
    (gallery / "sample").mkdir(parents=True)
    (gallery / "sample" / "sample.png").write_bytes(PIXEL)
    (gallery / "sample" / "result.json").write_text(json.dumps({"problem": "sample", "test_accuracy": 0.93}))
    return gallery


@pytest.fixture(scope="module")
def examples():
    """Two toys of the tests' own: a short action, and what stands in for a training. Says which trainings have ended."""
    ended = []

    def square(body):
        x = number(body, "x", -1e6, 1e6)
        return {"square": x * x}

    def count(body, cancelled):
        to, pause = whole(body, "to", 1, 100_000), number(body, "pause", 0, 10, 0.01)
        try:
            while body.get("wait") and not cancelled():  # as a compilation that takes long
                time.sleep(0.01)
            for i in range(to):
                if cancelled():
                    return
                yield {"i": i}
                time.sleep(pause)
            if body.get("then") == "fail":
                raise ValueError("a secret")
        finally:
            ended.append(threading.current_thread())

    def fail(body):
        raise ValueError("a secret")

    known = toys()
    known.ACTIONS.update({"test/square": square, "test/fail": fail})
    known.STREAMS["test/count"] = count
    yield ended
    del known.ACTIONS["test/square"], known.ACTIONS["test/fail"], known.STREAMS["test/count"]


@pytest.fixture(scope="module")
def server(folder, examples):
    """The page, served in a thread: `url`, `port`, `app`, `folder`."""
    with running(folder) as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    """Chromium. By module: while Playwright runs, its thread has an event loop, which other tests could not run theirs in."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """A page of its own browser context, 1280 wide. The test fails if it logs an error, or asks any other machine."""
    with watch(browser, base_url=server.url, viewport={"width": 1280, "height": 800}) as page:
        yield page


@pytest.fixture
def phone(browser, server):
    """The same on a phone of 360 x 740, with touch."""
    with watch(
        browser, base_url=server.url, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    ) as page:
        yield page
