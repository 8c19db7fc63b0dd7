"""`spanax gallery --all`: what passes, fails and is skipped; its statuses, its page, and that nothing is left running."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app
from spanax.cli._gallery import all as every
from spanax.gallery.problems import PROBLEMS, Problem

ROOT = pathlib.Path(__file__).parent.parent.parent
# A shell's background jobs ignore SIGINT, and so would a child of the tests.
COMMAND = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from spanax.cli import main; main()"


def spanax(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def calls(monkeypatch):
    """Nothing is run: each problem ends as the test says, by name (status, last lines of stderr, interrupted)."""
    ends = {}
    made = []

    def call(arguments, on_line):
        made.append(arguments)
        on_line("training")
        out = pathlib.Path(arguments[arguments.index("--out") + 1])
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(f'{{"problem": "{arguments[1]}", "score": 0.5}}')
        return ends.get(arguments[1], (0, ["training"], False))

    monkeypatch.setattr(every, "_call", call)
    monkeypatch.setattr(Problem, "missing", lambda self: ("torch",) if self.name == "torch-router" else ())
    call.ends, call.made = ends, made
    return call


def test_all_are_run_in_order_and_each_into_a_folder_of_its_own(calls, tmp_path):
    result = spanax("gallery", "--all", "--quick", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    names = [problem.name for problem in PROBLEMS if problem.name != "torch-router"]
    assert [call[1] for call in calls.made] == names
    assert calls.made[0] == ["gallery", "tour", "--out", str(tmp_path / "tour"), "--quick"]
    rows = [row for row in result.stdout.splitlines() if not row.startswith("Wrote ")]
    assert max(map(len, rows)) <= 80
    assert f"{len(names)} of {len(PROBLEMS)} problems passed" in result.stdout
    # What is not installed is no failure, and the table says what would install it.
    text = " ".join(result.stdout.split())
    assert "torch-router skipped: needs torch: pip install 'spanax[torch]'" in text
    assert f"Wrote {tmp_path / 'index.html'}" in result.stdout
    page = (tmp_path / "index.html").read_text()
    assert all(f'id="{name}"' in page for name in names) and 'id="torch-router"' not in page
    lines = result.stderr.splitlines()
    assert len(lines) == len(PROBLEMS) and lines[0].startswith("1/") and "tour: passed, 0.0 s" in lines[0]


def test_one_that_fails_does_not_stop_the_others_and_is_named_with_its_reason(calls, tmp_path):
    message = ["training", "spanax: the gallery needs scikit-learn", "  (a) pip install 'spanax[gallery]'"]
    calls.ends |= {
        "vae": (2, message, False),
        "mpc": (-signal.SIGKILL, ["training"], False),
        "aim": (1, ["Traceback (most recent call last):", "ValueError: [red] no"], False),
    }
    result = spanax("gallery", "--all", "--out", tmp_path)
    assert result.exit_code == 1 and len(calls.made) == len(PROBLEMS) - 1
    assert "--quick" not in calls.made[0]
    text = " ".join(result.stdout.split())
    assert "vae failed: the gallery needs scikit-learn (a) pip install 'spanax[gallery]'" in text
    assert "mpc failed: killed by the system" in text and "aim failed: status 1: ValueError: [red] no" in text
    assert "pendulum passed" in text


def test_ctrl_c_ends_the_one_that_runs_and_the_rest_are_not_run(calls, tmp_path):
    calls.ends["gap"] = (130, ["spanax: interrupted"], True)
    result = spanax("gallery", "--all", "--out", tmp_path)
    assert result.exit_code == 130 and [call[1] for call in calls.made] == ["tour", "gap"]
    text = " ".join(result.stdout.split())
    assert "tour passed" in text and "gap interrupted" in text and "vae not run" in text
    assert "spanax: interrupted" in result.stderr and 'id="tour"' in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all", "vae"],
        ["--quick"],
        ["--out", "x"],
        ["--quick", "vae"],
        ["--all", "--out", "/dev/null/x"],
        ["--all", "--out", "a\0b"],
        ["--all", "--nonsense"],
        ["--all", "--quick=yes"],
    ],
)
def test_what_does_not_fit_together_is_one_message(calls, arguments):
    result = spanax("gallery", *arguments)
    assert result.exit_code == 2 and not calls.made and not result.stdout
    assert result.stderr.count("Error ─") == 1 and "Traceback" not in result.stderr


def test_the_reason_is_the_last_message_or_how_it_ended():
    assert every._reason(2, ["spanax: one", "spanax: two", "  (a) x"]) == "two\n  (a) x"
    assert every._reason(-signal.SIGSEGV, []) == "ended by SIGSEGV"
    assert every._reason(3, ["a", "b"]) == "status 3: b"


@pytest.mark.few(1)
@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), (["gallery", "nonsense"], 2)])
def test_a_command_is_run_in_a_process_that_has_this_ones_path(arguments, status, tmp_path, monkeypatch):
    (tmp_path / "spanax.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    said = []
    found, lines, interrupted = every._call(arguments, said.append)
    assert found == status and not interrupted and lines == said
    assert not any("the wrong one" in line for line in lines)


def started(out):
    """The whole command, once its first problem has begun."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "gallery", "--all", "--quick", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    until(lambda: (out / "tour").exists() or process.poll() is not None, 120)
    assert process.poll() is None
    return process


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def children_of(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = pathlib.Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state not in "ZX":
            found.append(int(entry))
    return found


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.mark.slow
@needs_proc
def test_ctrl_c_leaves_no_process_and_what_was_found(tmp_path):
    process = started(tmp_path)
    children = children_of(process.pid)
    assert len(children) == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "spanax: interrupted" in err and "Traceback" not in err and "interrupted" in out and "not run" in out
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
    assert (tmp_path / "index.html").exists()


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_parent_that_dies_takes_its_problem_with_it(tmp_path, number):
    process = started(tmp_path)
    children = children_of(process.pid)
    process.send_signal(number)
    process.communicate(timeout=60)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 60)
    assert children and not any(os.path.exists(f"/proc/{pid}") for pid in children)
