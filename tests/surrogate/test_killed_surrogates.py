"""A fit with a store that is killed goes on where it was, and ends in the same surrogate bit by bit."""

import collections
import pathlib
import random
import subprocess
import sys
import time

import pytest

SCRIPT = pathlib.Path(__file__).parent / "killed_surrogate.py"
ROOT = SCRIPT.parents[2]


def start(folder):
    command = [sys.executable, str(SCRIPT), str(folder / "runs.db"), str(folder / "log")]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )


def evaluated(folder):
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("kills", [10])
def test_killed_at_random_moments(tmp_path, kills):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    truth = start(whole).communicate()[0]
    total, moments = evaluated(whole), random.Random(0)
    # A moment is a number of evaluations: so all kills are in the middle of them, however fast the machine is.
    for at in sorted(moments.sample(range(1, total), kills)):
        process = start(killed)
        while evaluated(killed) < at and process.poll() is None:
            time.sleep(0.002)
        process.kill()
        process.communicate()
    assert start(killed).communicate()[0] == truth
    counts = collections.Counter((killed / "log").read_text().splitlines())
    once = collections.Counter((whole / "log").read_text().splitlines())
    # One is in flight at a kill: fn runs in one process.
    assert set(counts) == set(once) and sum(counts.values()) - total <= kills
