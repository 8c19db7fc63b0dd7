"""What a method of training is: an objective of the policy whose derivative is the update."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..env import Env
from ..rollout import Policy

Carry = Any  # a pytree of arrays: what is handed from one update to the next


class Seen(NamedTuple):
    """What one update used.

    - `steps`: of the environment, in all episodes of the batch together; `episodes`: that began;
    - `ended`: episodes that ended, and `earned`: the sum of their returns.
    """

    steps: Int[Array, ""]
    episodes: Int[Array, ""]
    ended: Int[Array, ""]
    earned: Float[Array, ""]

    @classmethod
    def nothing(cls) -> Seen:
        zero = jnp.zeros((), jnp.int32)
        return cls(zero, zero, zero, jnp.zeros((), float))


class Verdict(NamedTuple):
    """What makes a training doubtful, or, if `fatal`, worthless; and what helps."""

    fatal: bool
    problem: str
    remedies: tuple[str, ...]


class Task(eqx.Module):
    """The environment, how many episodes run at once, and a loss to minimise instead of -reward, if there is one."""

    env: Env
    batch: int = eqx.field(static=True)
    # Static: a function, compared by itself.
    loss: Any = eqx.field(static=True)
    # Is it minimised by its derivative? Then the environment may have a better one than that of its reward.
    by_derivative: bool = eqx.field(default=True, static=True)

    def cost(self, state: Any, action: Array, next_state: Any, reward: Array) -> Float[Array, ""]:
        if self.loss is not None:
            return self.loss(state, action, next_state)
        return self.env.loss(state, action, next_state) if self.by_derivative else -reward


class Method(eqx.Module):
    """A method of training, as `train(via=...)` takes it; with the default numbers of updates and of episodes at once."""

    updates: ClassVar[int] = 300
    batch: ClassVar[int] = 16
    # Does it use the derivative of the simulation? Then it minimises `env.loss` where the user gives no loss, else -reward.
    by_derivative: ClassVar[bool] = True
    # Are the `batch` episodes those of the environment itself, of which Gymnasium has so many copies?
    plays: ClassVar[bool] = True

    def optimizer(self, updates: int, policy: Policy) -> Any:
        """What is used where the user gives no optimizer, for so many updates: a `GradientTransformation` of optax."""
        # optax takes as long to import as the rest of the library.
        import optax

        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))

    @abc.abstractmethod
    def check(self, task: Task, policy: Policy) -> None:
        """Raises `SpanaxError` where the method does not fit the environment or the policy."""

    @abc.abstractmethod
    def start(self, task: Task, policy: Policy, key: Key[Array, ""]) -> Carry:
        """The carry of the first update."""

    def prepare(self, task: Task, policy: Policy, carry: Carry, key: Key[Array, ""]) -> tuple[Carry, Seen]:
        """Before each gradient, without a derivative: what the method collects and learns for itself."""
        return carry, Seen.nothing()

    def metrics(self, carry: Carry) -> dict[str, Float[Array, ""]]:
        """Numbers of the method's own after each update, by name: for callbacks and `Result.metrics`."""
        return {}

    def verdict(self, task: Task, metrics: Mapping[str, Float[np.ndarray, " updates"]]) -> Verdict | None:
        """What is wrong with a training that is over, by its metrics; None: nothing."""
        return None

    @abc.abstractmethod
    def objective(
        self, task: Task, policy: Policy, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Carry, Seen]]:
        """What to minimise, whose derivative with respect to `policy` is the update's gradient; and the next update's carry."""
