"""A store among processes: killed, forked, full disks, many at once. Each test runs in a process of its own."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def run(name, folder):
    command = [sys.executable, "-m", "tests.blackbox.store_processes", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["killed", "shared", "racing", "forking", "limited"])
def test_nothing_is_lost(name, tmp_path):
    run(name, tmp_path)


def test_what_still_waits_at_the_end_is_reported(tmp_path):
    assert "1 evaluation waits in memory" in run("ending", tmp_path)


def test_a_full_disk(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", tmp_path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        run("crammed", tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
