"""The command `spanax`, as a user types it."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app
from spanax.gallery.names import VaeBridge

TINY = ["gallery", "vae", "--steps", "2", "--samples", "2"]


def spanax(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_tiny_run_prints_a_table_of_80_columns_and_writes_its_files(tmp_path):
    result = spanax(*TINY, "--via", "disarm", "--via", "gaussian", "--out", tmp_path)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert max(map(len, rows[: rows.index("Wrote " + str(tmp_path / "reconstructions.png"))])) <= 80
    assert [row.split()[:2] for row in rows if row.startswith("  ") and " 2 " in row] == [
        ["disarm", "2"],
        ["gaussian", "2"],
    ]
    assert "disarm: 2 steps, ELBO -" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"reconstructions.png", "curves.png", "result.json"}


def test_a_wrong_bridge_is_named_with_all_the_right_ones(tmp_path):
    result = spanax(*TINY, "--via", "disarmed", "--out", tmp_path)
    assert result.exit_code == 2
    message = " ".join(result.stderr.replace("│", " ").split())
    assert "disarmed" in message and all(f"'{name}'" in message for name in VaeBridge)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--samples", "3"], "must be even"), (["--out", "/dev/null/out"], "is not a folder")]
)
def test_other_mistakes_are_one_message_on_stderr(arguments, words):
    result = spanax(*TINY, "--via", "disarm", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", " ").split()) and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_version_and_help():
    assert spanax("--version").stdout.startswith("spanax 0.")
    assert "gallery" in spanax("--help").stdout
    assert "reinmax" in spanax("gallery", "vae", "--help").stdout


def test_a_group_without_a_command_lists_its_commands():
    for group in ([], ["gallery"]):
        result = spanax(*group)
        assert result.exit_code == 0
        assert ("trebuchet" in result.stdout) == bool(group) and "Usage: " in result.stdout


def test_missing_packages_are_named_with_the_remedy():
    script = "import sys; sys.modules['typer'] = None; sys.argv = ['spanax']; from spanax.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 2
    remedies = "  (a) pip install 'spanax[cli]'\n  (b) pip install -e '.[cli]', in a checkout\n"
    assert result.stderr == f"spanax: the command line needs typer\n{remedies}"


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_results_so_far(tmp_path):
    vias = ["--via", "straight-through", "--via", "disarm"]
    # A shell's background jobs ignore SIGINT, and so would a child of the tests.
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from spanax.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "gallery", "vae", *vias, "--steps", "100", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)  # the first bridge is being judged, or the second compiled
    out, err = process.communicate(timeout=60)
    assert first.startswith("straight-through: 100 steps")
    assert process.returncode == 130, err
    assert "stopping" in err and "so far" in err and "straight-through" in out
    assert json.loads((tmp_path / "result.json").read_text())["interrupted"] is True
