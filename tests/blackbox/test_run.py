import dataclasses
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from spanax import SpanaxError
from spanax.blackbox.workers.processes import processes
from spanax.blackbox.workers.run import Run, workers


def test_the_defaults():
    assert Run() == Run(None, timeout=None, retries=2, on_failure="raise", max_failed=0.5)
    assert workers(Run().executor) == 1


@pytest.mark.parametrize(
    "field, value",
    [
        *[("executor", value) for value in (4, "processes", object())],
        *[("timeout", value) for value in (0, -1.0, 1e7, float("nan"), float("inf"), "60", True)],
        *[("retries", value) for value in (-1, 1.5, True, None)],
        *[("on_failure", value) for value in ("ignore", None, True)],
        *[("max_failed", value) for value in (-0.1, 1.1, float("nan"), True, None)],
    ],
)
def test_a_wrong_argument_is_named_with_its_value(field, value):
    with pytest.raises(SpanaxError, match=field) as caught:
        Run(**{field: value})
    assert repr(value) in caught.value.problem
    assert "test_run.py" in caught.value.where and caught.value.remedies


def test_a_dask_client_is_told_from_its_executor():
    class Client:
        def get_executor(self): ...

    with pytest.raises(SpanaxError, match=r"client\.get_executor\(\)"):
        Run(Client())  # pyright: ignore[reportArgumentType]


def test_copies_share_the_executor_that_the_function_makes():
    made = []

    def make():
        made.append(ThreadPoolExecutor(3))
        return made[-1]

    run = Run(make)
    assert not made
    assert workers(run.executor) == workers(dataclasses.replace(run, retries=0).executor) == 3
    assert len(made) == 1
    made[0].shutdown()


def test_a_function_that_makes_no_executor_is_named():
    with pytest.raises(SpanaxError, match=r"made 3, which is not a concurrent\.futures\.Executor"):
        workers(Run(lambda: 3).executor)  # pyright: ignore[reportArgumentType]


def test_a_pool_is_no_function_that_makes_one():
    pool = processes(5)
    assert Run(pool).executor is pool and workers(pool) == 5
    assert workers(Run(lambda: pool).executor) == 5


def test_an_executor_that_does_not_tell_its_size():
    class Silent(Executor): ...

    assert workers(Silent()) > 1
