"""What a way of training is: an objective of the policy whose derivative is the update."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int, Key

from ..env import Env
from ..rollout import Policy

Carry = Any  # a pytree of arrays: what goes on from one update to the next


class Seen(NamedTuple):
    """What one update saw.

    - `steps`: of the environment, all lanes together; `episodes`: that began;
    - `ended`: episodes that ended, and `earned`: the sum of their returns.
    """

    steps: Int[Array, ""]
    episodes: Int[Array, ""]
    ended: Int[Array, ""]
    earned: Float[Array, ""]


class Task(eqx.Module):
    """What is trained in: the environment, how many episodes at once, and what to minimise instead of -reward, if anything."""

    env: Env
    batch: int = eqx.field(static=True)
    loss: Any = eqx.field(static=True)

    def cost(self, state: Any, action: Array, next_state: Any, reward: Array) -> Float[Array, ""]:
        return -reward if self.loss is None else self.loss(state, action, next_state)


class Method(eqx.Module):
    """A way of training, as `train(via=...)` takes it; with the numbers of updates and of episodes at once by default."""

    updates: ClassVar[int] = 300
    batch: ClassVar[int] = 16

    @abc.abstractmethod
    def check(self, task: Task, policy: Policy) -> None:
        """Raises `SpanaxError` where the way does not fit the environment or the policy."""

    @abc.abstractmethod
    def start(self, task: Task, policy: Policy, key: Key[Array, ""]) -> Carry:
        """What the first update is given."""

    @abc.abstractmethod
    def objective(
        self, task: Task, policy: Policy, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Carry, Seen]]:
        """What to minimise, whose derivative with respect to `policy` is the update's; what the next update is given."""
