"""The command `spanax compare`, as a user types it."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import spanax as sx
from spanax import SpanaxError
from spanax.cli._app import app
from spanax.cli._bridge_text import bridges_of

ROOT = pathlib.Path(__file__).parent.parent.parent

MODULE = """
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import spanax as sx

print("printed by the module")


def loss(logits, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="z")
    return jnp.sum(z * x) ** 2


def by_hand(logits, x, *, key):
    return sx.expectation(loss, via={"z": sx.Enumerate()})(logits, x, key=key)


def fails(logits, x, *, key):
    return loss(logits, x, key=key) * (1 / len(()))


def plain(x):
    return jnp.round(x) * x


pair = (jnp.ones(3), jnp.arange(1.0, 4.0))
keyed = lambda: {"logits": pair[0], "x": pair[1], "key": jax.random.key(7)}
vias = {"z": [sx.Enumerate(), sx.StraightThrough()]}
functions = lambda: {"mine": by_hand}
number = (0.3,)
"""


@pytest.fixture(autouse=True)
def user_code(tmp_path, monkeypatch):
    """A module in the current directory, which nothing has put on Python's path."""
    (tmp_path / "judged.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("judged", None)


def compare(*arguments, function="judged:loss", args="judged:pair"):
    return CliRunner().invoke(app, ["compare", function, "--args", args, *map(str, arguments)])


def test_a_table_and_files_and_the_status_of_a_bias(user_code):
    files = user_code / "page.html", user_code / "picture.svg"
    result = compare("--vias", "judged:vias", "--draws", 200, "--html", files[0], "--plot", files[1], "--fail-on-bias")
    assert result.exit_code == 1, result.output  # straight-through is biased for a square
    assert "z=Enumerate()" in result.stdout and "z=StraightThrough()" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "printed by the module" in result.stderr and all(f"Wrote {file}" in result.stderr for file in files)
    assert "<html" in files[0].read_text().lower() and "<svg" in files[1].read_text()


def test_json_is_one_object_and_bridges_can_be_typed():
    result = compare("--via", "z=Enumerate(), sx.StraightThrough()", "--draws", 300, "--json", "--argnums", "0,1")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {row["label"]: row["verdict"] for row in found["rows"]} == {
        "z=Enumerate()": "no bias found",
        "z=StraightThrough()": "biased",
    }
    assert "x" in str(found["rows"][0])  # a leaf of the second argument


def test_whole_functions_and_a_key_among_the_arguments():
    result = compare("--vias", "judged:functions", "--draws", 100, "--fail-on-bias", args="judged:keyed")
    assert result.exit_code == 0, result.output
    assert "mine" in result.stdout


def test_without_bridges_they_are_searched_for():
    result = compare("--budget", 0.001)
    assert result.exit_code == 0, result.output
    assert 'sx.expectation(loss, via={"z": sx.DisARM()})' in result.stdout
    assert "budget_seconds=0.001 was too little" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vias", "judged:vias", "--via", "z=DisARM()"], "both --vias and --via"),
        (["--vias", "judged:pair"], "judged:pair gives a value of type tuple"),
        (["--via", "w=DisARM()"], "vias= names ['w']"),
        (["--via", "z=Disarm()"], "(a) DisARM()"),
        (["--via", "z=StraightThrough(Soft(-1.0))"], "softness=-1.0"),
        (["--plot", "picture.gif"], "picture.png"),
    ],
)
def test_a_mistake_is_one_message_on_stderr_and_status_2(arguments, words):
    result = compare(*arguments)
    assert result.exit_code == 2
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert words in result.stderr and result.stderr.count("spanax: ") == 1
    assert "site-packages" not in result.stderr and str(ROOT / "spanax") not in result.stderr


def test_an_error_of_the_user_s_names_its_line_and_traceback_shows_it():
    place = f"judged.py:{1 + MODULE.splitlines().index('    return loss(logits, x, key=key) * (1 / len(()))')}"
    result = compare("--via", "z=DisARM()", function="judged:fails")
    assert result.exit_code == 2 and place in result.stderr and "ZeroDivisionError" in result.stderr
    assert "Traceback (most recent call last)" in compare("--traceback", function="judged:fails").stderr


def test_a_program_without_draws_is_told_its_remedies():
    result = compare(function="judged:plain", args="judged:number")
    assert result.exit_code == 2
    assert "hard steps are: round at judged.py" in result.stderr and "sx.hard.round" in result.stderr


# -- bridges as text


def test_bridges_are_read_with_literals_and_other_bridges():
    found = bridges_of(
        ["z=DisARM(pairs=2), sx.GumbelSoftmax(0.5, hard=True)", " w = StraightThrough(Soft(-1e-1 + .2j))"][:1]
    )
    assert repr(found) == "{'z': [DisARM(pairs=2), GumbelSoftmax(temperature=0.5, hard=True)]}"
    nested = bridges_of(["w = StraightThrough(Soft(0.1, kernel='laplace'))"])["w"][0]
    assert isinstance(nested.of, sx.Soft) and nested.of.kernel == "laplace"
    assert bridges_of([]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "z",
        "z=",
        "=DisARM()",
        "DisARM(pairs=2)",
        "z=DisARM",
        "z=DisARM(",
        "z=DisARM(pairs=0)",
        "z=DisARM(no=1)",
        "z=DisARM(**{})",
        "z=DisARM(*[1])",
        "z=DisARM(pairs=open('x'))",
        "z=DisARM(pairs=(lambda: 1)())",
        "z=__import__('os').system('touch hacked')",
        "z=Bridge()",
        "z=sample()",
        "z=sx.hard.round()",
        "z=[DisARM()]",
        "z=3",
    ],
)
def test_anything_else_is_refused_and_not_run(text):
    with pytest.raises(SpanaxError):
        bridges_of([text])
    assert not pathlib.Path("hacked").exists()


def test_a_name_is_given_once():
    with pytest.raises(SpanaxError, match="twice"):
        bridges_of(["z=DisARM()", "z=ReinMax()"])


def test_ctrl_c_ends_with_130_and_no_traceback(user_code):
    (user_code / "waits.py").write_text("import sys, time\nprint('waiting', flush=True)\ntime.sleep(60)\n")
    # A shell's background jobs ignore SIGINT, and so would a child of the tests.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from spanax.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "compare", "waits:f", "--args", "waits:args"],
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
