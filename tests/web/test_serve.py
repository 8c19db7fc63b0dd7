"""`spanax serve` as a user starts it, and ends it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from spanax import SpanaxError
from spanax.cli._app import app
from spanax.gallery.web.serve import listen

from .asking import JSON, ask

ROOT = Path(__file__).parents[2]
# A shell's background jobs ignore SIGINT, and so would a child of the tests.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "spanax"
from spanax.cli import main
main()
"""


@pytest.fixture
def started(folder):
    """The command on a free port, in a process of its own."""
    command = [sys.executable, "-c", START, "serve", "--port", "0", "--out", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None and process.stdout is not None
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"spanax: the page is at (http://127\.0\.0\.1:(\d+)/) \(Ctrl-C ends it\)\n", line)
        assert found, line + process.stderr.read()
        yield SimpleNamespace(process=process, url=found[1], port=int(found[2]))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_until_a_signal_and_ends_cleanly(started, number, status):
    assert urllib.request.urlopen(started.url).status == 200
    assert ask(started, "/results/sample/result.json").json["test_accuracy"] == 0.93
    with socket.create_connection(("127.0.0.1", started.port)) as idle:
        begun = time.monotonic()
        started.process.send_signal(number)
        out, err = started.process.communicate(timeout=60)
        assert idle.recv(1) == b""
    assert started.process.returncode == status and out == "" and "Traceback" not in err and "rror" not in err
    assert time.monotonic() - begun < 30
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", started.port), timeout=1)


@pytest.mark.slow
def test_two_signals_end_it_at_once(started):
    started.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(30) == 130


def spanax(*arguments):
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


def test_a_busy_port_is_one_message_with_remedies(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = spanax("--port", port, "--out", tmp_path)
    assert result.exit_code == 2 and result.stdout == "" and "Traceback" not in result.stderr
    assert result.stderr.startswith(f"spanax: port {port} is taken: another program listens there\n")
    assert "(a) --port " in result.stderr and "--port 0" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "192.0.2.1"], "is not an address of this machine"),
        (["--host", "no such name"], "cannot listen on"),
        (["--host", "0.0.0.0", "--allow-code"], "--allow-code runs the code"),
        (["--port", "70000"], "65535"),
        (["--port", "-1"], "greater than or equal to 0"),
    ],
)
def test_other_mistakes_are_one_message(arguments, words):
    result = spanax(*arguments)
    assert result.exit_code == 2 and result.stdout == "" and "Traceback" not in result.stderr
    assert words in " ".join(result.stderr.replace("│", " ").split())


def test_a_port_for_the_superuser_is_named(monkeypatch):
    def denied(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", type("Socket", (socket.socket,), {"bind": denied}))
    with pytest.raises(SpanaxError, match=r"port 80 is not allowed to this user\n.*8000"):
        listen("127.0.0.1", 80)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("spanax.cli.serve.find_spec", lambda name: None)
    result = spanax()
    assert result.exit_code == 2 and "pip install 'spanax[web]'" in result.stderr


def test_only_loopback_listens_unless_asked():
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    with listen("localhost", 0) as listener:
        assert listener.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6")
def test_ipv6_is_served_too(tmp_path):
    with listen("::1", 0) as listener:
        assert listener.getsockname()[0] == "::1"


def test_a_copy_is_written_instead_of_served(folder, tmp_path, monkeypatch):
    # What is recorded has tests of its own, and no server is needed.
    monkeypatch.setattr("spanax.gallery.web._toys.recordings.GRIDS", {})
    monkeypatch.setattr("spanax.cli.serve.find_spec", lambda name: None)
    result = spanax("--out", folder, "--export", tmp_path / "copy")
    assert result.exit_code == 0 and result.stderr == "spanax: copying\n"
    assert result.stdout.endswith(f"MB: open {tmp_path / 'copy' / 'index.html'}\n")
    assert (tmp_path / "copy" / "results" / "sample" / "sample.png").is_file()


def test_a_copy_over_something_else_is_one_message(folder):
    result = spanax("--out", folder, "--export", folder)
    assert result.exit_code == 2 and result.stdout == "" and "Traceback" not in result.stderr
    assert result.stderr.startswith("spanax: the copy would be written into the gallery's own folder")


def test_the_command_is_in_the_help():
    result = CliRunner().invoke(app, ["--help"])
    assert "serve" in result.stdout and JSON
