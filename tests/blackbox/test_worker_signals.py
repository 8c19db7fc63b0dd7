"""A worker that is told to end where Python drops exceptions."""

import os
import signal
import time

import spanax as sx


class _Dropped:
    def __init__(self, file):
        self.file = file

    def __del__(self):
        with open(self.file, "w") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(30)


def drops(file):
    _Dropped(file)
    time.sleep(30)


def test_the_signal_to_end_is_not_lost_in_a_finalizer(tmp_path, capfd):
    file = tmp_path / "pid"
    with sx.processes(1) as pool:
        future = pool.submit(drops, str(file))
        while not (file.exists() and file.read_text().endswith("\n")):
            time.sleep(0.01)
        os.kill(int(file.read_text()), signal.SIGTERM)
        assert isinstance(future.exception(timeout=10), SystemExit)
    assert "ignored" not in capfd.readouterr().err
