"""The contract of `supervise` on a real dask cluster and a real Ray runtime, killed workers included."""

import os
import pathlib
import signal
import sys
import time

import pytest

from spanax import SpanaxError
from spanax.blackbox.workers._supervisor import Failed, supervise
from spanax.blackbox.workers.ray import ray_executor
from spanax.blackbox.workers.run import Run, workers
from tests.blackbox import programs
from tests.blackbox.test_processes import is_running, soon
from tests.blackbox.test_supervisor import same, taken

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = [
    # Of the clusters' own: sockets, event loops and files that they leave to the garbage collector.
    pytest.mark.filterwarnings("default::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]


@pytest.fixture(scope="module")
def dask():
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL") as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture(scope="module")
def ray():
    import ray

    options = {"num_cpus": 2, "include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init(**options, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})
    yield ray_executor()
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def cluster(request):
    return request.getfixturevalue(request.param)


def test_every_input_gives_its_value_once(cluster):
    assert workers(cluster) == 2
    ends = list(supervise(Run(cluster), programs.square, range(50), same))
    assert sorted((end.index, end.value, end.attempts) for end in ends) == [(i, i * i, 1) for i in range(50)]


@pytest.mark.few(1)
def test_equal_inputs_are_all_evaluated(cluster):
    """A cluster that takes equal calls for one would make noise look like none."""
    values = [end.value for end in supervise(Run(cluster), programs.noise, [0.0] * 20, same)]
    assert len(set(values)) == 20


@pytest.mark.few(3)
@pytest.mark.parametrize("fault", ["raises", "exits", "is_nan", "dies", "hangs"])
def test_what_faults_once_is_tried_again(cluster, fault, tmp_path):
    run = Run(cluster, timeout=1.0 if fault in ("hangs", "dies") else None)
    ends = list(supervise(run, programs.FaultsOnce(tmp_path, getattr(programs, fault)), range(9), taken))
    assert sorted((end.index, end.value, end.attempts) for end in ends) == [
        (i, i * i, 1 + (i in (2, 5))) for i in range(9)
    ]
    if fault == "hangs":
        assert not any(is_running(int((tmp_path / str(i)).read_text())) for i in (2, 5))


@pytest.mark.few(1)
def test_kill_9_of_a_worker_in_the_middle_of_60_tasks(cluster):
    values = []
    for end in supervise(Run(cluster), programs.process_and_square, range(60), same):
        values.append(end.value[1])
        if len(values) == 5:
            os.kill(end.value[0], signal.SIGKILL)
    assert sorted(values) == [i * i for i in range(60)]


def test_what_fails_always_is_given_up_and_says_why(cluster):
    (end,) = supervise(Run(cluster, retries=1), programs.raises, [0], taken)
    assert type(end) is Failed and end.attempts == 2
    assert end.reason.startswith("raised ValueError: no value at 0 (at ") and "programs.py:" in end.reason


@pytest.mark.few(1)
def test_closing_cancels_what_waits(cluster, tmp_path):
    ends = supervise(Run(cluster, timeout=2.0), programs.HangsAt(tmp_path, 2), range(50), same)
    for _ in range(3):
        next(ends)
    assert soon(lambda: list(tmp_path.iterdir()))
    ends.close()
    for pid in map(int, next(tmp_path.iterdir()).name.split("-")):
        assert soon(lambda pid=pid: not is_running(pid))
    assert [end.value for end in supervise(Run(cluster), programs.square, [3], same)] == [9]


def test_ray_as_an_executor(ray):
    from ray.exceptions import TaskCancelledError

    assert ray.submit(int, "101", base=2).result() == 5
    waiting = ray.submit(time.sleep, 60)
    assert soon(lambda: waiting in ray._refs)
    ray.kill(waiting)
    with pytest.raises(TaskCancelledError):
        waiting.result(30)
    other = ray_executor(num_cpus=1)
    end = other.submit(abs, -3)
    other.shutdown()
    assert end.result() == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        other.submit(abs, -3)


@pytest.mark.slow
def test_ray_that_is_not_started_or_not_there(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(SpanaxError, match="has not been started"):
        ray_executor()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpanaxError, match="pip install ray"):
        ray_executor()
