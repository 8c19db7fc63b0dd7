"""Evaluations under faults: nothing is lost, what fails is tried again, and what fails always is named."""

import functools
import os
import signal
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import loky
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.blackbox.workers._supervisor import BadResult, Done, Failed, supervise
from spanax.blackbox.workers.processes import processes
from spanax.blackbox.workers.run import Run
from tests.blackbox import programs
from tests.blackbox.test_processes import is_running, soon

spawning = functools.partial(ProcessPoolExecutor, 2, mp_context=get_context("spawn"))


@pytest.fixture(scope="module")
def executors():
    pool, threads = processes(2), ThreadPoolExecutor(2)
    makers = {
        "spawning": Run(spawning).executor,
        "loky": Run(functools.partial(loky.get_reusable_executor, 2)).executor,
    }
    yield {"here": None, "processes": pool, "threads": threads, **makers}
    pool.shutdown()
    threads.shutdown()
    for maker in makers.values():
        maker.executor().shutdown(wait=True)


EVERYWHERE = ["here", "processes", "threads", "spawning", "loky"]
APART = ["processes", "spawning", "loky"]


def taken(_, y):
    """The first of two finite numbers."""
    if np.shape(y) != (2,):
        raise BadResult(f"returned the shape {np.shape(y)}")
    if np.isnan(y).any():
        raise BadResult("returned NaN")
    return float(y[0])


def same(_, y):
    return y


@pytest.mark.parametrize("where", EVERYWHERE)
def test_every_input_gives_its_value_once(executors, where):
    ends = list(supervise(Run(executors[where]), programs.square, range(100), same))
    assert sorted((end.index, end.value, end.attempts) for end in ends) == [(i, i * i, 1) for i in range(100)]
    assert all(type(end) is Done and 0 <= end.seconds < 1 for end in ends)
    assert list(supervise(Run(executors[where]), programs.square, [], same)) == []


@pytest.mark.few(6)
@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize(
    "fault", ["raises", "exits", "is_nan", "has_wrong_shape", "cannot_be_pickled", "dies", "hangs"]
)
def test_what_faults_once_is_tried_again(executors, where, fault, tmp_path):
    apart = where in APART
    if fault in ("dies", "hangs") and not apart:
        pytest.skip("nothing in this process survives that")
    if fault == "exits" and where == "here":
        pytest.skip("sys.exit ends the program where it is called, as it should")
    if fault == "cannot_be_pickled" and where in ("spawning", "loky"):
        pytest.skip("such an executor fails in its own way")
    run = Run(executors[where], timeout=1.0 if fault == "hangs" else None)
    ends = list(supervise(run, programs.FaultsOnce(tmp_path, getattr(programs, fault)), range(9), taken))
    assert sorted((end.index, end.value) for end in ends) == [(i, i * i) for i in range(9)]
    attempts = {end.index: end.attempts for end in ends}
    if fault == "dies" and where in ("spawning", "loky"):
        # When the pool breaks, nobody has lost an attempt, unless it broke while that input ran alone.
        assert set(attempts.values()) <= {1, 2} and {i for i in attempts if attempts[i] == 2} <= {2, 5}
    else:
        assert [i for i in attempts if attempts[i] == 2] == [2, 5] or sorted(attempts.values()) == [1] * 7 + [2] * 2
    if fault == "hangs":
        assert not any(is_running(int((tmp_path / str(i)).read_text())) for i in (2, 5))


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize(
    "fault, reason",
    [
        ("raises", r"^raised ValueError: no value at 0 \(at .*programs\.py:\d+\)$"),
        ("raises_unshowable", r"^raised UnshowableError \(at .*programs\.py:\d+\)$"),
        ("is_nan", "^returned NaN$"),
    ],
)
def test_what_faults_always_is_given_up_and_says_why(executors, where, fault, reason):
    (end,) = supervise(Run(executors[where], retries=1), getattr(programs, fault), [0], taken)
    assert type(end) is Failed and (end.index, end.attempts) == (0, 2)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(end.reason)


@pytest.mark.few(1)
@pytest.mark.parametrize("where", APART)
def test_poison_is_given_up_and_nothing_else(executors, where):
    ends = list(supervise(Run(executors[where], retries=1), programs.poison_at_7, range(20), same))
    (poison,) = [end for end in ends if isinstance(end, Failed)]
    assert (poison.index, poison.attempts) == (7, 2) and "its process died" in poison.reason
    assert sorted(end.value for end in ends if isinstance(end, Done)) == [i * i for i in range(20) if i != 7]


@pytest.mark.parametrize("where", APART)
def test_what_hangs_is_killed_with_what_it_started(executors, where, tmp_path):
    run = Run(executors[where], timeout=0.7, retries=0)
    ends = list(supervise(run, programs.HangsAt(tmp_path, 3), range(8), same))
    assert [(end.index, end.reason) for end in ends if isinstance(end, Failed)] == [
        (3, "took longer than 0.7 s and was killed")
    ]
    assert sorted(end.value for end in ends if isinstance(end, Done)) == [i * i for i in range(8) if i != 3]
    (file,) = tmp_path.iterdir()
    for pid in map(int, file.name.split("-")):
        assert soon(lambda pid=pid: not is_running(pid))


def test_kill_9_in_the_middle_of_60_tasks():
    """A bare pool loses what is not finished; ours and a pool that is made anew lose nothing."""
    with spawning() as bare:
        ends = [bare.submit(programs.process_and_square, i) for i in range(60)]
        os.kill(ends[4].result()[0], signal.SIGKILL)
        lost = sum(isinstance(end.exception(), BrokenExecutor) for end in ends)
    assert lost > 30
    for executor in (processes(2), spawning):
        values, killed = [], False
        run = Run(executor)
        for end in supervise(run, programs.process_and_square, range(60), same):
            values.append(end.value[1])
            if len(values) == 5 and not killed:
                killed = True
                os.kill(end.value[0], signal.SIGKILL)
        assert sorted(values) == [i * i for i in range(60)]


def test_a_broken_executor_that_cannot_be_made_anew_is_an_error_after_what_had_finished():
    with spawning() as bare:
        list(bare.map(programs.square, range(4)))
        values = []
        with pytest.raises(SpanaxError, match="the executor is broken: BrokenProcessPool") as caught:
            for end in supervise(Run(bare), programs.poison_at_7, range(20), same):
                values.append(end.value)
        assert len(values) >= 4 and set(values) < {i * i for i in range(20)}
        assert "sx.processes()" in caught.value.remedies[0]
    with pytest.raises(SpanaxError, match="the executor is broken"):
        list(supervise(Run(bare), programs.square, range(3), same))


class AlwaysBroken(ThreadPoolExecutor):
    def submit(self, *args, **kwargs):
        raise BrokenExecutor("it never works")


def test_an_executor_that_is_broken_whenever_it_is_made_is_an_error():
    with pytest.raises(SpanaxError, match=r"so is a new one.*it never works"):
        list(supervise(Run(lambda: AlwaysBroken(2)), programs.square, range(3), same))


def test_two_threads_share_an_executor_and_one_has_poison(executors):
    """The other's tasks are all done at their first attempt, though the pool breaks under them."""
    found = {}

    def work(name, fn):
        found[name] = list(supervise(Run(executors["spawning"], retries=1), fn, range(40), same))

    threads = [
        threading.Thread(target=work, args=("poisoned", programs.poison_at_7)),
        threading.Thread(target=work, args=("innocent", programs.napping_square)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [end.index for end in found["poisoned"] if isinstance(end, Failed)] == [7]
    assert sorted((end.index, end.attempts) for end in found["innocent"]) == [(i, 1) for i in range(40)]


def test_two_threads_share_our_pool(executors):
    found = {}

    def work(name):
        found[name] = sorted(
            end.value for end in supervise(Run(executors["processes"]), programs.square, range(300), same)
        )

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {name: [i * i for i in range(300)] for name in range(3)}


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1), lambda: ThreadPoolExecutor(1)])
def test_a_timeout_that_cannot_be_kept_is_refused(executor):
    with pytest.raises(SpanaxError, match="cannot keep timeout=3") as caught:
        supervise(Run(executor, timeout=3), programs.square, range(3), same)
    assert "sx.processes()" in caught.value.remedies[0] and "test_supervisor.py" in caught.value.where


@pytest.mark.parametrize("where", EVERYWHERE)
def test_a_function_that_keeps_its_time_itself_is_asked_to(executors, where):
    ends = list(supervise(Run(executors[where], timeout=3), programs.WithinItself(), range(3), same))
    assert [end.value for end in ends] == [3, 3, 3]


class Lazy:
    """Remembers how many inputs have been asked for."""

    def __init__(self, length):
        self.length, self.asked = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        self.asked += 1
        return i


@pytest.mark.parametrize("where", EVERYWHERE)
def test_inputs_are_taken_when_they_are_sent(executors, where):
    inputs = Lazy(1_000_000)
    ends = supervise(Run(executors[where]), programs.square, inputs, same)
    for _ in range(20):
        next(ends)
    assert inputs.asked <= 20 + 4 * 2
    ends.close()


def test_closing_cancels_what_waits_and_kills_what_runs(tmp_path):
    with processes(2) as pool:
        ends = supervise(Run(pool), programs.HangsAt(tmp_path, 2), range(50), same)
        for _ in range(3):
            next(ends)
        assert soon(lambda: list(tmp_path.iterdir()))
        ends.close()
        for pid in map(int, next(tmp_path.iterdir()).name.split("-")):
            assert soon(lambda pid=pid: not is_running(pid))
        assert pool.submit(programs.square, 3).result() == 9


def test_an_error_of_accept_is_not_the_functions(executors):
    def broken_accept(_, y):
        raise ZeroDivisionError

    for executor in (None, executors["processes"]):
        with pytest.raises(ZeroDivisionError):
            list(supervise(Run(executor), programs.square, range(3), broken_accept))


def test_an_interrupt_passes_in_this_process():
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(supervise(Run(), interrupted, range(3), same))


def test_a_function_that_cannot_be_sent(executors):
    with pytest.raises(SpanaxError, match="cannot be sent to a worker process"):
        supervise(Run(executors["processes"]), lambda x: x, range(3), same)
    with pytest.raises(SpanaxError, match=r"the executor cannot send .*(pickle|local object)"):
        list(supervise(Run(executors["spawning"]), lambda x: x, range(3), same))
    (end,) = supervise(Run(executors["loky"], timeout=60), lambda x: x + 1, [1], same)  # by value, and so to its child
    assert end.value == 2


def test_a_function_is_loaded_once_by_each_worker(executors, tmp_path):
    function = programs.Counted(tmp_path)
    for _ in range(3):
        assert len(list(supervise(Run(executors["processes"]), function, range(50), same))) == 50
    assert all(file.read_text() == "x" for file in tmp_path.iterdir())


def test_retries_do_not_wait_for_the_end_of_the_batch(tmp_path):
    """What failed is tried again before new inputs are taken."""
    order = []
    for end in supervise(Run(), programs.FaultsOnce(tmp_path, programs.raises), range(9), taken):
        order.append(end.index)
    assert order == list(range(9))


def test_nothing_is_kept_of_a_batch_that_is_over(executors):
    class Big(np.ndarray): ...

    x = np.zeros(3).view(Big)
    seen = weakref.ref(x)
    list(supervise(Run(executors["threads"]), programs.square, [x], same))
    del x
    time.sleep(0.05)
    assert seen() is None
