"""The host's side of a Gymnasium environment: single environments in slots, stepped together in a thread of their own.

To JAX a step is a pure function of a state; the environment here has one state, which it changes. A ticket for every change tells
whether a state that is to be stepped is the one that the environment is in: anything else raises.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._errors import SpanaxError
from ._spaces import Spaces


class Stepped(NamedTuple):
    """Rows, one for each environment that was asked for."""

    tickets: np.ndarray
    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Host:
    """Single environments in slots, each with a ticket that says which state it is in.

    A state that is stepped comes with its slot and its ticket. Where the environment has moved on since, it cannot answer
    for that state, and the call raises. `failure` is the last error, which a compiled program hides behind one of JAX's.
    """

    def __init__(self, envs: Sequence[Any], spaces: Spaces, name: str, timeout: float, where: str):
        self.envs, self.spaces, self.name, self.timeout, self.where = list(envs), spaces, name, timeout, where
        self.tickets, self.issued = np.zeros(len(self.envs), np.int32), 0
        self.failure: SpanaxError | None = None
        # Always the same thread: some environments (renderers, physics engines) may be used in one thread only.
        self.thread = _Thread(name)

    def fingerprint(self) -> tuple[str, Any, Any]:
        """What it is, for checkpoints: its class, and the id and arguments of its specification; not in which state."""
        spec = getattr(self.envs[0], "spec", None)
        kind = type(getattr(self.envs[0], "unwrapped", self.envs[0])).__qualname__
        return kind, getattr(spec, "id", None), getattr(spec, "kwargs", None)

    def reset(self, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first environments anew, one for each seed: slots, tickets and observations."""
        if len(seeds) > len(self.envs):
            raise self._failure(
                f"{len(seeds)} episodes at once, and there are {len(self.envs)} of {self.name}",
                f"control.from_gymnasium(..., n={len(seeds)})",
                "a smaller batch",
            )
        return self._within_time(lambda: self._reset(seeds))

    def step(self, slots: np.ndarray, tickets: np.ndarray, over: np.ndarray, actions: np.ndarray) -> Stepped:
        """One step of each; those that were over before are left alone, and their rows mean nothing."""
        # In a batch some episodes are over before others: their rows are copies of what they were.
        going = np.flatnonzero(~over)
        # Another state than the environment is in, or the same one twice: a second step from it would be the third
        # state.
        if np.any(self.tickets[slots[going]] != tickets[going]) or len(np.unique(slots[going])) < len(going):
            raise self._failure(
                f"a state of {self.name} is stepped that it is no longer in: a black box cannot go back",
                "one rollout at a time, from a reset of its own",
                "no control.AutoReset around it, and no second step from one state",
                "another control.from_gymnasium(...) for what runs beside it",
            )
        return self._within_time(lambda: self._step(slots, tickets, going, actions))

    @property
    def render_fps(self) -> float | None:
        return (getattr(self.envs[0], "metadata", None) or {}).get("render_fps")

    def render(self, slot: int, ticket: int) -> np.ndarray:
        """What the environment draws, if this is the state that it is in."""
        mode = getattr(self.envs[slot], "render_mode", None)
        if mode != "rgb_array":
            remedy = 'control.from_gymnasium(id, render_mode="rgb_array")'
            raise self._failure(f"{self.name} draws no picture: it was made with render_mode={mode!r}", remedy)
        if self.tickets[slot] != ticket:
            raise self._failure(
                f"{self.name} is no longer in the state to be drawn: a black box cannot go back",
                "env.render(state) after each step, before the next one",
                "gymnasium.wrappers.RecordVideo, in a function that makes one: from_gymnasium(make)",
            )
        # In the thread that made its window or its context.
        return self._within_time(
            lambda: np.asarray(self._name_failures("render()", lambda: self.envs[slot].render()), np.uint8)
        )

    def _reset(self, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        slots = np.arange(len(seeds), dtype=np.int32)
        observations = [self._begin(slot, int(seed)) for slot, seed in enumerate(seeds)]
        return slots, self.tickets[slots], np.stack(observations)

    def _begin(self, slot: int, seed: int) -> np.ndarray:
        # In messages an environment's call stands as the user could repeat it.
        what = f"reset(seed={seed})"
        observation, _ = self._name_failures(what, lambda: self.envs[slot].reset(seed=seed))
        self._issue(slot)
        return self._sound(what, observation, 0.0)

    def _step(self, slots: np.ndarray, tickets: np.ndarray, going: np.ndarray, actions: np.ndarray) -> Stepped:
        n = len(slots)
        # Of those that are not stepped nothing is read: their episodes are over, however they ended.
        seen = np.zeros((n, *self.spaces.observation.shape))
        rows = Stepped(tickets.copy(), seen, np.zeros(n), np.ones(n, bool), np.zeros(n, bool))
        for i in going:
            slot, action = int(slots[i]), self.spaces.action_of(actions[i])
            what = f"step({action!r})"
            seen, reward, terminated, truncated, _ = self._name_failures(
                what, lambda s=slot, a=action: self.envs[s].step(a)
            )
            rows.observations[i] = self._sound(what, seen, reward)
            rows.tickets[i] = self._issue(slot)
            rows.rewards[i], rows.terminated[i], rows.truncated[i] = reward, terminated, truncated
        return rows

    def _issue(self, slot: int) -> int:
        # Never 0, which an array of zeros holds; wrapped at the end of int32.
        self.issued = self.issued % (2**31 - 1) + 1
        self.tickets[slot] = self.issued
        return self.issued

    def _name_failures(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            raise self._failure(
                f"{self.name} raised {type(error).__name__} in {what}: {error}",
                "the environment by itself, with that action: the traceback above this error is its own",
            ) from error

    def _sound(self, what: str, observation: Any, reward: Any) -> np.ndarray:
        """The observation as an array, without a NaN, from which a policy would learn without anybody noticing."""
        seen = self.spaces.array_of(observation)
        if np.any(np.isnan(seen)) or not np.isfinite(reward):
            what_came = f"the reward {float(reward)!r}" if not np.isfinite(reward) else "NaN in its observation"
            raise self._failure(
                f"{self.name} gave {what_came} in {what}",
                "gymnasium.wrappers.TransformObservation or TransformReward, if that is meant to be a number",
            )
        return seen

    def _within_time(self, work: Callable[[], Any]) -> Any:
        try:
            return self.thread.result(work, self.timeout)
        except TimeoutError:
            raise self._failure(
                f"{self.name} did not answer within {self.timeout:g} s, and is given up",
                "control.from_gymnasium(..., timeout=600), if it may take that long",
                "a new control.from_gymnasium(...): this one cannot be used again",
            ) from None

    def _failure(self, problem: str, *remedies: str) -> SpanaxError:
        self.failure = SpanaxError(problem, *remedies, where=self.where)
        return self.failure


class _Thread:
    """Runs one piece of work after the other, for a caller who waits a limited time.

    It does not keep the process alive, and work that hangs blocks it for good: then every call is a `TimeoutError`.
    """

    def __init__(self, name: str):
        self.name, self.hangs, self.asked = name, False, 0
        self.work: queue.SimpleQueue = queue.SimpleQueue()
        self.results: queue.SimpleQueue = queue.SimpleQueue()
        self.running: threading.Thread | None = None

    def result(self, work: Callable[[], Any], seconds: float) -> Any:
        if self.hangs:
            raise TimeoutError
        # Started when first needed: an environment that is only described costs no thread.
        if self.running is None:
            self.running = threading.Thread(target=self._run, name=f"spanax {self.name}", daemon=True)
            self.running.start()
        self.asked += 1
        self.work.put((self.asked, work))
        answered, value, error = 0, None, None
        # The answer to a call that Ctrl-C interrupted is dropped.
        while answered < self.asked:
            try:
                answered, value, error = self.results.get(timeout=seconds)
            except queue.Empty:
                # Its thread cannot be ended from outside. It is left to itself, and no later call waits for it again.
                self.hangs = True
                raise TimeoutError from None
        if error is not None:
            raise error
        return value

    def _run(self) -> None:
        while True:
            asked, work = self.work.get()
            try:
                self.results.put((asked, work(), None))
            except BaseException as error:
                # Everything, `SystemExit` too: the caller waits for an answer.
                self.results.put((asked, None, error))
