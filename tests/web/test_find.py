"""The page `find`: what a pasted program can see and do, which is next to nothing, and what is said about it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spanax import SpanaxError
from spanax.gallery.web._find import confine
from spanax.gallery.web._find.run import CONFINE, MOST_PRINTED, Limits, run
from spanax.gallery.web._server.hosts import Hosts
from spanax.gallery.web.app import make_app
from spanax.gallery.web.serve import serve

from .asking import post
from .running import running

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="confines by Linux's means")


def confined(parent=None):
    """The processes that look at a program, of this process or of `parent`: their numbers."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            of = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if of == (parent or os.getpid()) and b"confine.py" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left_over():
    yield
    _until(lambda: not confined())


# -- reports


@pytest.mark.slow
def test_lines_that_cut_are_named_with_remedies():
    answer = run("def f(x, w):\n    y = jnp.round(x * w)\n    return jnp.sum(y + w)\n", "jnp.ones(3), 2.0")
    assert (
        answer["verdict"] == "partial" and not answer["lifted"] and answer["per_leaf"] == {"x": "dead", "w": "partial"}
    )
    (gap,) = answer["gaps"]
    assert (gap["line"], gap["operation"], gap["kind"], gap["cuts"]) == (2, "round", "zero", True)
    assert any("sx.hard.round" in remedy for remedy in gap["remedies"])


def test_plain_python_is_lifted():
    answer = run("import numpy as np\ndef f(x):\n    if x > 3:\n        return np.floor(x)\n    return x\n", "4.0")
    assert answer["lifted"] and [gap["line"] for gap in answer["gaps"]] == [3, 4]


MISTAKES = [
    ("def f(x:\n    return x", "1.0", "", 1),
    ("x = 1", "1.0", "defines no function", 0),
    ("def f(x):\n    return x", "1.0 +", "the arguments", 0),
    ("def f(x):\n    return x", "", "no argument is a floating-point", 0),
    ("def f(x):\n    return x", "3", "write 3.0 for 3", 0),
    ("def f(x):\n    y = x + 1\n    return jnp.dot(y, z)", "1.0", "z", 3),
    ("def f(x):\n    return x\nraise SystemExit(3)", "1.0", "SystemExit", 3),
    ("def f(x):\n    return x\nimport os\nos._exit(3)", "1.0", "ended by itself, with status 3", 0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "arguments", "words", "line"), MISTAKES)
def test_mistakes_are_told_with_their_line(source, arguments, words, line):
    answer = run(source, arguments)
    assert words in answer["problem"] and answer["line"] == line


# -- what it may do: each attempt prints what came of it

ATTEMPTS = """
import ctypes, os, signal, socket, subprocess, sys, threading

def attempt(name, act):
    try:
        print(name, "DONE", act())
    except BaseException as error:
        print(name, "refused", type(error).__name__)

def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)

attempt("connect", lambda: connect(socket.AF_INET, ("127.0.0.1", PORT)))
attempt("unix", lambda: connect(socket.AF_UNIX, "/run/x"))
attempt("secret", lambda: open(SECRET).read())
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("environ", lambda: open(f"/proc/{os.getppid()}/environ").read())
attempt("cmdline", lambda: open(f"/proc/{os.getppid()}/cmdline").read())
attempt("home", lambda: os.listdir(os.path.dirname(SECRET)))
attempt("write", lambda: open(SECRET, "w"))
attempt("create", lambda: open(SECRET + "2", "w"))
attempt("remove", lambda: os.remove(SECRET))
attempt("rename", lambda: os.rename("program.py", SECRET + "3"))
attempt("link", lambda: os.symlink(SECRET, "link") or open("link").read())
attempt("fork", os.fork)
attempt("system", lambda: subprocess.run(["true"]))
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("killpg", lambda: os.killpg(0, 0))
attempt("mount", lambda: 1 / (1 + ctypes.CDLL(None).mount(b"a", b".", b"tmpfs", 0, None)))
attempt("large", lambda: open("large", "wb").write(b"a" * 2_000_000))
print("environment", sorted(os.environ))
print("files", os.listdir("."))
print("descriptors", len(os.listdir("/proc/self/fd")))
thread = threading.Thread(target=lambda: print("thread runs"))
thread.start()
thread.join()
open("own", "w").write("fine")
print("own", open("own").read())

def f(x):
    return x
"""


def test_a_program_reaches_nothing_outside(tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    monkeypatch.setenv("SPANAX_TEST_TOKEN", "a secret")
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        source = f"PORT, SECRET = {listener.getsockname()[1]}, {str(secret)!r}\n{ATTEMPTS}"
        answer = run(source, "1.0")
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    printed, held = answer["printed"], answer["held"]
    if confine.libc.syscall(confine.CREATE_RULESET, None, 0, 1) >= 1 and os.uname().machine in confine.DENIED:
        # This system holds all of it: what is asked of a system below is tested here.
        assert not any(text.startswith("no: ") for text in held.values()) and "refused" in held["processes"]
    assert answer["verdict"] == "alive" and "thread runs" in printed and "own fine" in printed, answer
    # Nothing is claimed that does not hold, nor the other way round.
    refused = [line.split()[0] for line in printed.splitlines() if " refused " in line]
    assert "large" in refused and "a secret" not in printed and "SPANAX_TEST_TOKEN" not in printed
    names = {"network": {"connect"}, "processes": {"fork", "system", "exec", "kill", "killpg"}}
    names["files"] = {"secret", "passwd", "environ", "cmdline", "home", "write", "create", "remove", "rename", "link"}
    for subject, which in names.items():
        if not held[subject].startswith("no: ") and "threads and processes" not in held[subject]:
            assert which <= set(refused), (subject, printed)
    assert secret.read_text() == "a secret" and [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert "files ['program.py', 'link']" in printed or "files ['program.py']" in printed or "large" in printed
    assert "PATH" not in printed.partition("environment")[2].partition("\n")[0]


ALONE = """
import importlib.util, socket, sys
spec = importlib.util.spec_from_file_location("confine", sys.argv[1])
confine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(confine)
confine.libc.prctl(confine.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
print({"namespace": confine._leave_network, "filter": confine._filter_calls}[sys.argv[2]]())
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[3])), timeout=5).close()
    print("connected")
except OSError as error:
    print("refused")
"""


@pytest.mark.parametrize("means", ["namespace", "filter"])
def test_either_means_alone_keeps_it_from_the_network(means):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-I", "-c", ALONE, str(CONFINE), means, str(listener.getsockname()[1])]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said in (["True", "refused"], ["False", "connected"])


HUNGRY = {
    "for ever": ("while True:\n    pass\n", "computed for longer than"),
    "sleeps": ("import time\ntime.sleep(600)\n", "took too long"),
    "memory": ("a = 'a' * (8 * 2**30)\n", "more memory"),
    "prints": ("while True:\n    print('a' * 10000)\n", "wrote too much"),
    "files": ("n = 0\nwhile True:\n    open(str(n), 'w').write('a' * 900_000)\n    n += 1\n", "too many files"),
    "forks": ("import os\nwhile True:\n    os.fork()\n", "PermissionError"),
    "ignores": (
        "import signal\nfor n in {*range(1, 65)} - {9, 19, 32, 33}:\n    signal.signal(n, signal.SIG_IGN)\nwhile 1:\n    n = 1\n",
        "took too long",
    ),
}


FAST = ("for ever",)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in HUNGRY]
)
def test_what_takes_without_end_is_ended(name):
    source, words = HUNGRY[name]
    limits = Limits(cpu=20 if name != "for ever" else 1, seconds=6 if words == "took too long" else 60)
    answer = run(f"{source}def f(x):\n    return x\n", "1.0", limits=limits)
    assert words in answer["problem"], answer
    assert len(answer["printed"]) <= MOST_PRINTED


DEEP = """
import os
for _ in range(5000):
    os.mkdir("d")
    os.chdir("d")
os.chmod("..", 0)
def f(x):
    return x
"""


@pytest.mark.slow
def test_whatever_it_leaves_in_its_folder_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = run(DEEP, "1.0")
    assert "verdict" in answer or "too many files" in answer["problem"], answer
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_texts_that_are_no_utf8_are_told():
    assert "UnicodeEncodeError" in run("x = '\ud800'\ndef f(x):\n    return x", "1.0")["problem"]


@pytest.mark.slow
def test_a_forged_or_damaged_answer_is_only_text():
    """The program may write where the answer goes. It gets nothing by it but its own text."""
    source = "import os, sys\nos.write(int(sys.argv[2]), b'{\"problem\": [')\nos._exit(0)\n"
    answer = run(source + "def f(x):\n    return x\n", "1.0")
    assert "ended by itself" in answer["problem"]


# -- who may use it


def test_it_is_off_unless_it_is_allowed(server):
    assert post(server, "find/state", {}).json["allowed"] is False
    answer = post(server, "find/look", {"source": "def f(x):\n    return x", "arguments": "1.0"})
    assert answer.status == 403 and "--allow-code" in answer.json["error"]


def test_it_is_never_on_for_other_machines(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.com"):
        with pytest.raises(SpanaxError, match="--allow-code"):
            serve(tmp_path, host=host, allow_code=True)
    with pytest.raises(SpanaxError):
        make_app(tmp_path, allow_code=True, hosts=Hosts.of("0.0.0.0"))


@pytest.fixture(scope="module")
def allowing(folder, examples):
    with running(folder, allow_code=True) as server:
        server.app.state.find.spare.enabled = False  # so that what is left over can be counted
        yield server


@pytest.mark.parametrize(
    "body", [{}, {"source": 1, "arguments": ""}, {"source": "a" * 20_001, "arguments": ""}, {"source": "a"}]
)
def test_wrong_requests_start_no_process(allowing, body):
    assert post(allowing, "find/look", body).status == 422 and confined() == []


def test_a_page_that_is_closed_ends_its_program(allowing):
    body = json.dumps({"source": "while True:\n    pass", "arguments": ""}).encode()
    head = b"POST /api/find/look HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", allowing.port)) as connection:
        connection.sendall(head % len(body) + body)
        _until(lambda: len(confined()) == 1)
    _until(lambda: not confined())


@pytest.mark.slow
def test_a_program_ends_with_its_server(tmp_path):
    """The parent is killed, and has no time to end anything."""
    parent = "from spanax.gallery.web._find.run import run; run('import time; time.sleep(600)', '')"
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=Path(__file__).parents[2], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    _until(lambda: confined(process.pid))
    (child,) = confined(process.pid)
    process.kill()
    process.wait()
    _until(lambda: not _runs(child))


def _runs(pid):
    try:
        # Adopted by a container's first process, which may never ask for its status, it may stay as a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _until(holds):
    last = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < last, "it does not happen"
        time.sleep(0.05)


def test_it_can_be_cancelled():
    gone = threading.Event()
    threading.Timer(1.0, gone.set).start()
    assert "nobody waits" in run("while True:\n    pass", "", cancelled=gone.is_set)["problem"]


def test_a_process_is_ready_before_it_is_asked_for_and_ends_with_the_server(folder, examples):
    with running(folder, allow_code=True) as server:
        post(server, "find/state", {})
        post(server, "find/state", {})
        _until(confined)
        (ready,) = confined()
        answer = post(server, "find/look", {"source": "def f(x):\n    return jnp.floor(x)", "arguments": "1.5"})
        assert answer.json["verdict"] == "dead" and ready not in confined()
        _until(lambda: len(confined()) == 1)  # the next one
    _until(lambda: not confined())


@pytest.mark.slow
def test_one_that_nobody_asks_for_ends(folder, examples, monkeypatch):
    monkeypatch.setattr("spanax.gallery.web._find.spare.IDLE", 0.2)
    with running(folder, allow_code=True) as server:
        post(server, "find/state", {})
        _until(lambda: not confined())
        # A later program starts its own.
        assert (
            post(server, "find/look", {"source": "x = 1", "arguments": ""})
            .json["problem"]
            .startswith("the program defines")
        )
