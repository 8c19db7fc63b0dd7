"""`ray_executor`: Ray behind the face of a `concurrent.futures.Executor`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from ..._errors import SpanaxError

# Seconds. Ray kills a worker's children, but not theirs, which an interrupted task ends itself.
_GRACE = 3.0


class RayExecutor(Executor):
    """The executor that `ray_executor` makes."""

    def __init__(self, ray: Any, options: dict[str, Any]):
        self._ray = ray
        # Retries are counted by `sx.Run`, which would not know of Ray's own.
        self._task = ray.remote(_call).options(max_retries=0, **options)
        self._refs: dict[Future, Any] = {}
        self._open = True

    @property
    def _max_workers(self) -> int:
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        if not self._open:
            raise RuntimeError("cannot schedule new futures after shutdown")
        ref = self._task.remote(fn, args, kwargs)
        future = ref.future()
        self._refs[future] = ref
        future.add_done_callback(lambda done: self._refs.pop(done, None))
        return future

    def kill(self, future: Future) -> None:
        """Cancels a task that waits; interrupts one that runs, so that it may clean up, and kills its worker 3 seconds later."""
        self._cancel(future, False)
        timer = threading.Timer(_GRACE, self._cancel, (future, True))
        timer.daemon = True
        timer.start()

    def _cancel(self, future: Future, force: bool) -> None:
        ref = self._refs.get(future)
        # `cancel` would start Ray anew where it has been shut down. The task, or Ray, may end just now.
        if ref is not None and self._ray.is_initialized():
            with contextlib.suppress(Exception):
                self._ray.cancel(ref, force=force)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accepts no further tasks. Ray itself keeps running, until `ray.shutdown()`."""
        self._open = False
        waiting = dict(self._refs)
        if cancel_futures:
            for future in waiting:
                self.kill(future)
        if wait and waiting:
            self._ray.wait(list(waiting.values()), num_returns=len(waiting))


def ray_executor(**options: Any) -> RayExecutor:
    """The Ray cluster that this process is connected to, as an executor for `sx.Run`.

    A worker that dies takes its own task with it, which `sx.Run(retries=...)` repeats.

    **Arguments:**

    - `**options`: those of a Ray task, such as `num_cpus=2` or `resources={"licence": 1}` for each evaluation.

    **Returns:**

    A `concurrent.futures.Executor`. Shutting it down leaves Ray running.

    **Raises:**

    - `SpanaxError` where Ray is not installed or `ray.init()` has not been called.

    >>> import spanax as sx
    >>> run = sx.Run(executor=lambda: sx.ray_executor(num_cpus=2), timeout=600)  # made when it is first needed
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SpanaxError("sx.ray_executor needs Ray", "pip install ray", "sx.processes() on one machine") from error
    if not ray.is_initialized():
        raise SpanaxError("Ray has not been started", "ray.init() before", 'ray.init(address="auto") for a cluster')
    return RayExecutor(ray, options)


def _call(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)
