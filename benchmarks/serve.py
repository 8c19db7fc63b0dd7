"""The page: milliseconds from a question to a trebuchet's shot, in the server and over HTTP, and frames a second on the canvas.

The server runs as `spanax serve` in a process of its own; the frames are counted in Debian's chromium (--browser for another),
which draws by software where there is no graphics card.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks import _timing
from spanax.gallery.web._toys import ACTIONS, FIRST

TARGETS = {"ms": 30.0, "frames": 60.0}
PAGES = ("trebuchet", "cartpole", "pendulum")
SECONDS = 5


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of a server over an empty gallery."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "spanax", "serve", "--port", "0", "--out", folder]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+", said)
            if found is None:
                raise SystemExit(f"the server did not start: {said}")
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


def questions() -> Iterator[dict]:
    """Other ones each time, as a hand drags the target."""
    for i in itertools.count():
        yield {"wind": (i % 17) / 2 - 4, "target": 40 + (i % 101) / 2}


def milliseconds(url: str, repeats: int) -> _timing.Seconds:
    place, asked = urlsplit(url), questions()
    connection = http.client.HTTPConnection(place.hostname or "", place.port)

    def over_http(name: str, body: dict) -> None:
        connection.request("POST", f"/api/{name}", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200 or "error" in json.loads(answer.read()):
            raise SystemExit(f"{name}: {answer.status}")

    calls = {
        "a shot, in the server": lambda: ACTIONS["trebuchet/shoot"](next(asked)),
        "a shot, over HTTP": lambda: over_http("trebuchet/shoot", next(asked)),
    }
    for name in ("cartpole/balance", "pendulum/swing", "bench/measure"):
        calls[f"{name}, over HTTP"] = lambda name=name: over_http(name, FIRST[name])
    return _timing.interleaved(calls, repeats=repeats)


def frames(url: str, executable: str) -> dict[str, tuple[float, float]]:
    """Frames a second of each page while something moves, and the longest wait for one in ms."""
    from playwright.sync_api import sync_playwright

    # The film of a throw is over in a few seconds: it is thrown again and again.
    script = """(seconds) => new Promise((done) => {
        const times = [];
        const again = setInterval(() => { const b = document.getElementById("throw"); if (b) b.click(); }, 2500);
        function frame(now) {
            times.push(now);
            if (now - times[0] < 1000 * seconds) requestAnimationFrame(frame);
            else { clearInterval(again); done(times); }
        }
        requestAnimationFrame(frame);
    })"""
    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        for name in PAGES:
            page.goto(f"{url}toys/{name}.html")
            page.locator("#status").filter(has_text=re.compile(".")).wait_for()
            times = page.evaluate(script, SECONDS)
            waits = [b - a for a, b in itertools.pairwise(times)]
            found[name] = 1000 * len(waits) / (times[-1] - times[0]), max(waits)
        browser.close()
    return found


def main() -> None:
    options = _timing.parser(__doc__, repeats=30)
    options.add_argument("--browser", default=shutil.which("chromium"), help="chromium's path (default: %(default)s)")
    chosen = options.parse_args()
    _timing.limit_cores(chosen.cores)
    _timing.versions("jax", "starlette", "uvicorn", "playwright")
    with serving() as url:
        seconds = milliseconds(url, chosen.repeats)
        _timing.table(["", "ms  min..max"], [[name, _timing.spread(row, 1e-3)] for name, row in seconds.items()])
        if chosen.browser:
            print()
            rates = frames(url, chosen.browser)
            rows = [[name, f"{rate:.1f}", f"{wait:.0f}"] for name, (rate, wait) in rates.items()]
            _timing.table(["page", "frames a second", "longest wait, ms"], rows)
    print()
    _timing.verdict("ms for a shot over HTTP", 1e3 * statistics.median(seconds["a shot, over HTTP"]), TARGETS["ms"])
    if chosen.browser:
        slowest = min(rate for rate, _ in rates.values())
        # Half a frame: the count begins and ends between two of them.
        _timing.verdict("frames a second", slowest, TARGETS["frames"] - 0.5, at_least=True)


if __name__ == "__main__":
    main()
