"""The command `spanax find`, as a user types it."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app

ROOT = pathlib.Path(__file__).parent.parent.parent

MODULE = """
import jax
import jax.numpy as jnp

print("printed by the module")


def alive(w, x):
    return jnp.sum(w * x)


def piecewise(w):
    return jnp.where(w > 0, 2.0, 3.0) @ w


def partial(w, x, *, scale=1.0):
    return scale * jnp.sum(jnp.round(w * x) + w)


def dead(w):
    print("printed by the function")
    return jnp.sum(jnp.round(w))


def independent(w):
    return jnp.ones(3)


def jumps(key, w, scale):
    return scale * jnp.sum(jnp.where(w > 0.9, w + 1, w)) + jax.random.normal(key)


def noisy(w, *, key):
    return jnp.sum(jnp.where(w > 0.9, w + 1, w) + jax.random.normal(key, w.shape))


def saturated(w):
    return jnp.sum(jnp.clip(w, 2.0, 3.0))


def branches(w):
    return w if w > 0 else -w


def divides(w):
    return w * (1 / len(()))


class Model:
    class Inner:
        @staticmethod
        def loss(w, x):
            return partial(w, x)


one = (jnp.ones(3),)
two = (jnp.ones(3), jnp.arange(3.0))
by_name = {"scale": 2.0, "x": jnp.arange(3.0), "w": jnp.ones(3)}
make_two = lambda: two
make_by_name = lambda: by_name
keyed = (jax.random.key(1), jnp.ones(3), 2.0)
integers = (jnp.arange(3),)
scalar = (jnp.float32(0.5),)
array = jnp.ones(3)


def unmade():
    raise RuntimeError("no data")
"""


@pytest.fixture(autouse=True)
def user_code(tmp_path, monkeypatch):
    """A module and broken ones in the current directory, which nothing has put on Python's path."""
    (tmp_path / "thing.py").write_text(MODULE)
    (tmp_path / "exits.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "needs.py").write_text("\nimport no_such_package\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("thing", "exits", "needs", "wrong"):
        sys.modules.pop(name, None)


def find(function, args, *options):
    return CliRunner().invoke(app, ["find", function, "--args", args, *map(str, options)])


def find_json(*arguments):
    return json.loads(find(*arguments, "--json").stdout)


@pytest.mark.parametrize(
    ("function", "args", "status"),
    [
        ("alive", "two", 0),
        ("piecewise", "one", 0),
        ("independent", "one", 0),
        ("partial", "two", 1),
        ("dead", "one", 1),
    ],
)
def test_the_status_is_1_where_the_gradient_is_cut(function, args, status):
    result = find(f"thing:{function}", f"thing:{args}")
    assert result.exit_code == status, result.output
    assert function in result.stdout.splitlines()[0]


@pytest.mark.parametrize("args", ["two", "make_two", "by_name", "make_by_name"])
def test_arguments_come_in_four_forms(args):
    report = find_json("thing:partial", f"thing:{args}", "--argnums", "0,1")
    assert report["verdict"] == "partial"
    assert report["per_leaf"] == {"w": "partial", "x": "dead"}


def test_argnums_choose_what_is_differentiated():
    assert find_json("thing:partial", "thing:two")["per_leaf"] == {"w": "partial"}
    assert find_json("thing:partial", "thing:two", "--argnums", "1")["per_leaf"] == {"x": "dead"}


def test_names_may_be_dotted(user_code):
    (gap,) = find_json("thing:Model.Inner.loss", "thing:two")["gaps"]
    assert gap["file"] == str(user_code / "thing.py")
    assert gap["source"] == MODULE.splitlines()[gap["line"] - 1].strip()


@pytest.mark.parametrize("options", [[], ["--jumps"]])
def test_json_is_one_object_and_the_user_s_prints_go_to_stderr(options):
    result = find("thing:dead", "thing:one", "--json", *options)
    report = json.loads(result.stdout)
    assert report["verdict"] == "dead" and ("jumps" in report) == bool(options)
    assert "printed by the module" in result.stderr and "printed by the function" in result.stderr


def test_jumps_follow_the_gaps():
    alone = find("thing:dead", "thing:one").stdout.rstrip()
    result = find("thing:dead", "thing:one", "--jumps", "--radius", "2.5", "--seed", "3")
    assert result.stdout.startswith(alone) and len(result.stdout) > len(alone) + 1
    assert result.exit_code == 1
    again = find("thing:dead", "thing:one", "--jumps", "--radius", "2.5", "--seed", "3")
    assert again.stdout == result.stdout


def test_jumps_are_of_the_chosen_arguments_and_the_others_stay():
    report = find_json("thing:jumps", "thing:keyed", "--argnums", "1", "--jumps")
    jump = report["jumps"]["jumps"][0]
    assert jump["size"] == pytest.approx(2.0, rel=1e-3)  # one element crosses the threshold
    assert report["jumps"]["function"] == "jumps" and jump["gap"]["leaf"] == ["w"]


def test_a_key_that_is_not_given_is_made():
    report = find_json("thing:noisy", "thing:one", "--jumps")
    assert report["verdict"] == "piecewise" and report["jumps"]["jumps"]


def test_a_gradient_that_is_zero_here_is_said():
    result = find("thing:saturated", "thing:one")
    assert result.exit_code == 1
    assert "alive, but 0 at and around these arguments" in result.stdout


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [
        ("thing.dead", "thing:one", "package.module:name"),
        ("nothing:dead", "thing:one", "No module named 'nothing'"),
        ("needs:f", "thing:one", "importing needs failed: ModuleNotFoundError: No module named 'no_such_package'"),
        ("needs:f", "thing:one", "needs.py:2"),
        ("wrong:f", "thing:one", "importing wrong failed: SyntaxError"),
        ("exits:f", "thing:one", "importing exits failed: SystemExit: 0"),
        ("thing:ded", "thing:one", "(a) thing:dead"),
        ("thing:Model.iner", "thing:one", "thing:Model has no 'iner'"),
        ("thing:array", "thing:one", "thing:array is not a function"),
        ("thing:dead", "thing:ones", "(a) thing:one"),
        ("thing:dead", "thing:array", "a tuple of arguments, a dict of keyword arguments"),
        ("thing:dead", "thing:two", "thing:two does not fit thing:dead(w): too many positional arguments"),
        ("thing:dead", "thing:by_name", "does not fit"),
        ("thing:dead", "thing:unmade", "calling thing:unmade() failed: RuntimeError: no data"),
        ("thing:dead", "thing:integers", "no floating-point leaf"),
        (
            "thing:branches",
            "thing:scalar",
            f"thing.py:{1 + MODULE.splitlines().index('    return w if w > 0 else -w')}",
        ),
        ("thing:branches", "thing:scalar", "sx.find_gaps(sx.lift(branches), ...)"),
        ("thing:divides", "thing:one", "ZeroDivisionError"),
    ],
)
def test_a_mistake_is_one_message_on_stderr_and_status_2(function, args, words):
    result = find(function, args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert words in result.stderr and "Traceback" not in result.stderr
    assert "site-packages" not in result.stderr
    assert result.stderr.count("spanax: ") == 1


@pytest.mark.parametrize("argnums", ["2", "0,7"])
def test_argnums_beyond_the_arguments(argnums):
    result = find("thing:alive", "thing:two", "--argnums", argnums)
    assert result.exit_code == 2
    assert f"--argnums has {argnums[-1]}" in result.stderr


@pytest.mark.parametrize("argnums", ["-1", "x", "0,", "0 1"])
def test_argnums_that_are_no_positions(argnums):
    result = find("thing:alive", "thing:two", "--argnums", argnums)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr and "such as 0 or 0,2" in " ".join(result.stderr.replace("│", " ").split())


def test_the_whole_error_with_traceback():
    result = find("thing:divides", "thing:one", "--traceback")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr and "return w * (1 / len(()))" in result.stderr
    assert "spanax: thing:divides cannot be traced: ZeroDivisionError" in result.stderr


def test_ctrl_c_ends_with_130_and_no_traceback(user_code):
    waits = "import sys, time\nprint('waiting', flush=True)\ntime.sleep(60)\n"
    (user_code / "waits.py").write_text(waits)
    # A shell's background jobs ignore SIGINT, and so would a child of the tests. The command `spanax` has its own
    # folder at the head of Python's path, not the current one.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.path.remove(''); "
        "from spanax.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "find", "waits:f", "--args", "waits:args"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "spanax: stopping; Ctrl-C once more leaves at once\nspanax: interrupted\n"
