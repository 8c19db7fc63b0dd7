"""A fit that is killed goes on, from its store, as if nothing had happened."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import spanax as sx

from . import killed_least_squares

ROOT = pathlib.Path(__file__).parents[2]


def lines(folder):
    log = folder / "log"
    return log.read_text().splitlines() if log.exists() else []


def run(folder, kill_at):
    """Kills it once there are that many lines in its log, or when it is done."""
    # What one process has compiled the next one need not.
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "tests.surrogate.killed_least_squares", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **cache})
    while process.poll() is None:
        if len(lines(folder)) >= kill_at:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.001)
    return process.wait()


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_the_history_of_a_killed_least_squares_is_the_same_bit_by_bit(tmp_path, monkeypatch, kills):
    (tmp_path / "whole").mkdir()
    monkeypatch.setattr(killed_least_squares, "FOLDER", tmp_path / "whole")
    monkeypatch.setattr(killed_least_squares, "PAUSE", 0.0)
    whole = killed_least_squares.fit(sx.Store(tmp_path / "whole" / "runs.db", version="1"))
    killed_least_squares.save(whole, tmp_path / "whole.npz")
    count = len(lines(tmp_path / "whole"))
    assert count == len(set(lines(tmp_path / "whole")))

    moments, done = random.Random(0), 0
    for _ in range(kills):
        # Anywhere in what is left, so that ten kills fit into one run.
        share = moments.uniform(0, 2 / (kills + 1))
        if run(tmp_path, len(lines(tmp_path)) + 1 + int(share * (count - len(lines(tmp_path))))) == -signal.SIGKILL:
            done += 1
    assert done == kills
    # The last one here, which has compiled everything already.
    monkeypatch.setattr(killed_least_squares, "FOLDER", tmp_path)
    killed_least_squares.save(
        killed_least_squares.fit(sx.Store(tmp_path / "runs.db", version="1")), tmp_path / "fit.npz"
    )
    found = np.load(tmp_path / "fit.npz")
    for name, array in np.load(tmp_path / "whole.npz").items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    # In this process one evaluation is in flight.
    assert set(lines(tmp_path)) == set(lines(tmp_path / "whole"))
    assert len(lines(tmp_path)) <= count + kills
