"""The pool of processes as an executor: what it promises in `processes` and `Processes`."""

import contextlib
import gc
import math
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from spanax import SpanaxError
from spanax.blackbox.workers.processes import processes
from tests.blackbox import programs

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared():
    with processes(2) as pool:
        yield pool


def is_running(pid):
    """Not counting a process that has ended and waits to be buried."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def soon(holds, seconds=20.0):
    """Does it become true?"""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def test_it_is_an_executor(shared):
    assert list(shared.map(math.sqrt, [4.0, 9.0])) == [2.0, 3.0]
    assert shared.submit(int, "101", base=2).result() == 5
    assert shared.submit(programs.process).result() != os.getpid()


def test_arrays_come_back_as_they_went(shared):
    for x in (np.arange(6.0).reshape(2, 3), np.float32(2), np.zeros(0), np.array(3), np.zeros(1_000_000)):
        y = shared.submit(np.negative, x).result()
        assert y.dtype == x.dtype and y.shape == x.shape and np.array_equal(y, -x)


def test_an_exception_comes_as_itself_and_says_where(shared):
    with pytest.raises(ValueError, match="no value at 3") as caught:
        shared.submit(programs.raises, 3).result()
    assert "programs.py:" in caught.value.__notes__[0]
    with pytest.raises(SystemExit):
        shared.submit(programs.exits, 3).result()


def test_an_exception_that_does_not_pickle_comes_as_text(shared):
    with pytest.raises(SpanaxError, match="raised StubbornError: one and two"):
        shared.submit(programs.raises_stubborn, 3).result()


def test_a_result_that_does_not_pickle_is_an_error_of_its_task(shared):
    before = shared.submit(programs.process).result()
    with pytest.raises(SpanaxError, match="cannot be pickled"):
        shared.submit(programs.cannot_be_pickled, 3).result()
    assert {shared.submit(programs.process).result() for _ in range(9)} >= {before}


def test_what_cannot_be_sent_is_refused_at_once(shared):
    with pytest.raises(SpanaxError, match="cannot be sent to a worker process") as caught:
        shared.submit(lambda: 3)
    assert "test_processes.py" in caught.value.where and len(caught.value.remedies) == 3
    with pytest.raises(SpanaxError, match="arguments cannot be sent"):
        shared.submit(abs, threading.Lock())
    with pytest.raises(SpanaxError, match="cannot be sent to another process"):
        pickle.dumps(shared)


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2"])
def test_a_wrong_number_of_workers(n):
    with pytest.raises(SpanaxError, match=r"sx\.processes\(n="):
        processes(n)


def test_a_worker_that_dies_is_replaced_and_takes_its_own_task_only():
    with processes(2) as pool:
        ends = [pool.submit(programs.exits_at_3, x) for x in range(12)]
        with pytest.raises(SpanaxError, match=r"its process died \(exit code 5\)"):
            ends.pop(3).result()
        assert [end.result() for end in ends] == [x * x for x in range(12) if x != 3]


def test_an_idle_worker_that_dies_is_replaced():
    with processes(1) as pool:
        pid = pool.submit(programs.process).result()
        os.kill(pid, signal.SIGKILL)
        assert soon(lambda: not is_running(pid))
        time.sleep(0.05)
        assert pool.submit(programs.process).result() != pid


def test_a_killed_task_is_interrupted_first_and_can_clean_up(tmp_path):
    with processes(1) as pool:
        end = pool.submit(programs.CleansUp(tmp_path / "cleaned"), 0)
        waiting = pool.submit(programs.square, 3)
        assert soon((tmp_path / "cleaned.begun").exists)
        pool.kill(waiting)
        pool.kill(end)
        with pytest.raises(SpanaxError, match="was killed"):
            end.result()
        assert waiting.cancelled()
        assert soon((tmp_path / "cleaned").exists)
        assert pool.submit(programs.square, 3).result() == 9


def test_a_function_is_sent_to_a_worker_once(tmp_path):
    with processes(2) as pool:
        function = programs.Counted(tmp_path)
        assert [pool.submit(function, x).result() for x in range(20)] == [x * x for x in range(20)]
    assert all(file.read_text() == "x" for file in tmp_path.iterdir())


def test_a_worker_forgets_functions_that_are_long_unused(tmp_path):
    with processes(1) as pool:
        for bits in range(40):
            assert pool.submit(pow(2, bits).__add__, 1).result() == pow(2, bits) + 1


@pytest.mark.parametrize("function", [programs.Unloadable(), programs.KillsItsLoader()])
def test_a_function_that_no_worker_can_load_is_an_error_and_not_an_endless_loop(function):
    with processes(2) as pool:
        ends = [pool.submit(function, x) for x in range(5)]
        for end in ends:
            with pytest.raises(SpanaxError, match=r"no such library|died \(exit code 9\) 2 times in a row") as caught:
                end.result()
            assert "__main__" in caught.value.remedies[0]
        assert pool.submit(programs.square, 3).result() == 9


def test_shutdown_finishes_cancels_and_refuses():
    pool = processes(1)
    ends = [pool.submit(programs.napping_square, x) for x in range(4)]
    pool.shutdown()
    assert [end.result() for end in ends] == [0, 1, 4, 9]
    with pytest.raises(SpanaxError, match="was shut down"):
        pool.submit(abs, 1)

    pool = processes(1)
    ends = [pool.submit(programs.napping_square, x) for x in range(4)]
    assert soon(ends[0].running)
    pool.shutdown(cancel_futures=True)
    assert ends[0].result() == 0 and all(end.cancelled() for end in ends[2:])
    processes(1).shutdown()  # never used


def test_a_pool_that_is_dropped_ends_its_workers():
    pool = processes(1)
    pid = pool.submit(programs.process).result()
    collected = weakref.ref(pool)
    del pool
    gc.collect()
    assert soon(lambda: collected() is None and not is_running(pid))
    assert not any(thread.name == "spanax-processes" and not thread.is_alive() for thread in threading.enumerate())


def test_a_pool_that_is_dropped_still_finishes():
    assert processes(1).submit(programs.napping_square, 3).result() == 9


# -- programs that use a pool, as processes of their own


def started(script, *args, **options):
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


HEAD = """
import os, sys, time
from spanax.blackbox.workers.processes import processes
from spanax.blackbox.workers.run import Run
from spanax.blackbox.workers._supervisor import supervise
from tests.blackbox import programs
"""


def script(tmp_path, body):
    path = tmp_path / "program.py"
    path.write_text(HEAD + body)
    return path


def test_a_script_without_a_guard_is_told_so(tmp_path):
    body = """
def triple(x):
    return 3 * x

print([end.value for end in supervise(Run(processes(2)), triple, [1.0, 2.0], lambda _, y: y)])
"""
    program = started(script(tmp_path, body))
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 1
    assert "no worker process can load triple" in errors
    assert "used inside a worker" in errors and 'if __name__ == "__main__":' in errors


@pytest.mark.slow
def test_a_script_with_a_guard_or_with_functions_of_modules_only(tmp_path):
    body = """
def triple(x):
    print("tripling", x)
    return 3 * x

def main():
    pool = processes(2)
    print(sorted(end.value for end in supervise(Run(pool), triple, [1, 2], lambda _, y: y)))
    pool.submit(time.sleep, 60)  # nobody waits for it

if __name__ == "__main__":
    main()
elif "never" in sys.argv:
    os._exit(1)
"""
    program = started(script(tmp_path, body))
    output, errors = program.communicate(timeout=60)
    assert program.returncode == 0 and not errors
    assert sorted(output.splitlines()) == ["[3, 6]", "tripling 1", "tripling 2"]
    unguarded = "print([end.value for end in supervise(Run(processes(1)), programs.square, [1, 2], lambda _, y: y)])"
    output, errors = started(script(tmp_path, unguarded)).communicate(timeout=60)
    assert output == "[1, 4]\n" and not errors


WAITING = """
import pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job is started without
def main():
    folder = sys.argv[1]
    pool = processes(2)
    pids = {pool.submit(programs.process).result() for _ in range(2)}
    ends = supervise(Run(pool), programs.HangsAt(folder, 2), range(4), lambda _, y: y)
    print(next(ends), next(ends), next(ends), flush=True)
    next(ends)

if __name__ == "__main__":
    main()
"""


@pytest.mark.few(1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path, number):
    """Killed, or by Ctrl-C: in the middle of a batch, one worker deaf to requests and with a child of its own."""
    program = started(script(tmp_path, WAITING), tmp_path)
    try:
        program.stdout.readline()
        name = soon(lambda: [file.name for file in tmp_path.iterdir() if "-" in file.name]) and next(
            file.name for file in tmp_path.iterdir() if "-" in file.name
        )
        pids = [int(pid) for pid in name.split("-")]
        assert all(map(is_running, pids))
        program.send_signal(number)
        _, errors = program.communicate(timeout=30)
        assert program.returncode == -number
        assert number == signal.SIGKILL or "KeyboardInterrupt" in errors
        assert soon(lambda: not any(map(is_running, pids)))
    finally:
        program.kill()
        program.communicate()


def test_it_refuses_to_work_after_a_fork(tmp_path):
    body = """
import warnings
warnings.simplefilter("ignore")
pool = processes(1)
pool.submit(programs.process).result()
child = os.fork()
if child == 0:
    try:
        pool.submit(programs.process)
    except Exception as error:
        print(error, flush=True)
    sys.exit(0)
os.waitpid(child, 0)
print(pool.submit(programs.square, 3).result())
"""
    output, _ = started(script(tmp_path, body)).communicate(timeout=60)
    assert "used after a fork" in output and output.splitlines()[-1] == "9"


def test_ctrl_c_does_not_reach_the_workers():
    with processes(1) as pool:
        pid = pool.submit(programs.process).result()
        os.kill(pid, signal.SIGINT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGINT)
        assert pool.submit(programs.process).result() == pid
