"""Do environment, policy and loss fit each other? By shapes and dtypes, method by method, before anything is compiled.

A reward of shape [1], or an action that broadcasts against the state, trains without an error, and on something else than
was meant. Under `jax.eval_shape` the check costs a trace and no arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._functions import with_key
from ...stochastic.sampling import sample
from .._fit import refuse_misfit
from ..env import Box, Discrete, Env, step_env
from ..policies._mirror import Mirror, mirror_of
from ..rollout import is_drawn
from .method import Task

_LOSS = "loss(state, action, next_state) -> scalar"


def refuse_resetting(env: Env, who: str) -> None:
    """For methods that look at the state where an episode ended, which is a new one's there."""
    if env.resets_itself:
        raise SpanaxError(
            f"{who} looks at the state where an episode ends, and {type(env).__name__} shows the next one's first",
            "train(env.env, ...): the environment inside; train begins new episodes by itself",
        )


class Contract:
    """The shapes of one step of an environment, by a policy.

    Each method of the environment is asked once, with abstract values; what does not fit raises `SpanaxError`, which names it.
    """

    def __init__(self, task: Task, method: str):
        env = task.env
        self.env, self.loss, self.method = env, task.loss, method
        self.name = type(env).__name__
        # Abstract keys and states: nothing is drawn, no environment of Gymnasium is reset.
        self.key = jax.eval_shape(lambda: jax.random.key(0))
        self.state = self._ask(f"{self.name}.reset", env.reset, self.key)
        self.observation = self._ask(f"{self.name}.observe", env.observe, self.state)
        seen, space = _shape(self.observation), env.observation_space.shape
        if seen != space or not _is_float(self.observation):
            what = f"{_describe(self.observation)}, and its observation_space says floats of shape {list(space)}"
            self._refuse(
                f"{self.name}.observe returns {what}", "one array of floats", "control.Box(low, high) of that shape"
            )

    def check_action(self, policy: Any) -> None:
        """What the policy does, where its derivative is that of the action."""
        refuse_misfit(self.env, policy, f"train(via={self.method}): ")
        self._check_mirror(policy)
        drawn, space = is_drawn(policy, self.env), self.env.action_space
        action = self._ask(
            f"the policy, with one observation {_describe(self.observation)},",
            lambda x, key: policy(x, **with_key(policy, key, (x,), {})),
            self.observation,
            self.key,
        )
        shapes = [space.shape, *([(space.n,)] if isinstance(space, Discrete) else [])]
        if _shape(action) not in shapes:
            self._refuse(
                f"the policy returns {_describe(action)}, and {self.name}.action_space is {space!r}",
                f"one array of shape {' or '.join(str(list(shape)) for shape in shapes)} for ONE observation",
            )
        # A draw of integers is differentiated by its bridge; an argmax of the policy's own would have the derivative 0.
        if not _is_float(action) and (isinstance(space, Box) or not drawn):
            self._refuse(
                f"the policy returns {_describe(action)}, which has no derivative",
                "an action of floats",
                *(
                    []
                    if isinstance(space, Box)
                    else ["control.MLPPolicy(env, key=key, via=sx.StraightThrough(sx.Soft(0.5)))"]
                ),
            )
        self._check_step(action, jnp.floating)

    def check_derivative(self, *remedies: str) -> None:
        """A step's own derivative, where a method takes it without an expectation around it: no draw may need one."""
        space = self.env.action_space
        action = jax.ShapeDtypeStruct(space.shape, jnp.zeros((), float).dtype)

        def summed(action, state, key):
            leaves = jax.tree.leaves(step_env(self.env, state, action, key))
            return sum((jnp.sum(x) for x in leaves if _is_float(x)), jnp.zeros((), float))

        try:
            # In reverse, as training does: a derivative of the user's own may have no other way.
            jax.eval_shape(jax.grad(summed), action, self.state, self.key)
        except SpanaxError as error:
            raise SpanaxError(
                f"train(via={self.method}) differentiates a step of {self.name} by itself, and there {error.problem}",
                *remedies,
            ) from error

    def check_distribution(self, policy: Any, *, reparametrised: bool = False) -> None:
        """What the policy draws from, where its derivative is that of the probabilities, or that of the draws as well."""
        refuse_misfit(self.env, policy, f"train(via={self.method}): ")
        self._check_mirror(policy)
        what = f"the policy's distribution, with one observation {_describe(self.observation)},"
        distribution = self._ask(what, policy.distribution, self.observation)
        space = self.env.action_space
        batch, event = getattr(distribution, "batch_shape", None), getattr(distribution, "event_shape", None)
        if batch is None or event is None:
            self._refuse(
                f"the policy's distribution(observation) returns a {type(distribution).__name__}",
                "a numpyro distribution",
            )
        # A batch_shape would make several actions of one observation, each with a log-probability of its own.
        if tuple(batch) or tuple(event) != space.shape:
            shapes = f"batch_shape {list(batch)} and event_shape {list(event)}"
            independent = [f"distribution.to_event({len(batch)})"] if tuple(batch) + tuple(event) == space.shape else []
            self._refuse(
                f"what the policy draws from has the {shapes}, and {self.name}.action_space is {space!r}",
                *independent,
                f"a numpyro distribution of batch_shape [] and event_shape {list(space.shape)}, of ONE action",
            )
        if reparametrised and not distribution.has_rsample:
            self._refuse(
                f"the policy draws from a {type(distribution).__name__}, whose draws have no derivative",
                "control.PolicyGradient()",
                "a distribution of continuous actions, such as numpyro's Normal",
            )
        drawn = self._ask(
            "the policy's distribution", lambda d, key: sample(key, d, name="action"), distribution, self.key
        )
        self._check_step(drawn, jnp.floating if reparametrised else None)

    def _check_mirror(self, policy: Any) -> None:
        """A mirror that is not the environment's would hold for no state: the policy would be trained to be wrong."""
        mirror, stated = getattr(policy, "mirror", None), self.env.mirror
        if not isinstance(mirror, Mirror) or stated is None:
            return
        there = mirror_of(stated, None, len(mirror.observation), self.env.action_space)
        if not np.allclose(there.observation, mirror.observation):
            self._refuse(
                f"the policy's mirror image of an observation is not that of {self.name}, {stated!r}",
                "control.mirrored(policy, env)",
            )

    def _check_step(self, action: Any, kind: Any) -> None:
        """A step by this action, and its reward: a number of this kind, if its derivative is needed, else a real one."""
        # `scan` needs a state of one type; a weak dtype, or a field that becomes a float, would be promoted without a word.
        env, name = self.env, self.name
        arrived = self._ask(
            f"{name}.step, with an action {_describe(action)},",
            lambda state, action, key: step_env(env, state, action, key),
            self.state,
            action,
            self.key,
        )
        before, after = jax.tree.structure(self.state), jax.tree.structure(arrived)
        pairs = [] if before != after else zip(jax.tree.leaves(self.state), jax.tree.leaves(arrived), strict=True)
        if before != after or any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in pairs):
            self._refuse(
                f"{name}.step returns {_describe(arrived)}, and {name}.reset {_describe(self.state)}",
                "a state of the same structure, shapes and dtypes",
            )
        moved = (self.state, action, arrived)
        # A reward needs a derivative where it is what the environment minimises.
        own = type(env).loss is not Env.loss
        self._scalar(f"{name}.reward", kind if self.loss is None and not own else None, env.reward, *moved)
        self._check_ends(arrived)
        if self.loss is not None:
            self._scalar("the loss", kind, self.loss, *moved)
        elif own and kind is not None:
            self._scalar(f"{name}.loss", kind, env.loss, *moved)

    def _check_ends(self, arrived: Any) -> None:
        for end in ("done", "truncated", "terminated"):
            self._scalar(f"{self.name}.{end}", jnp.bool_, getattr(self.env, end), arrived)

    def _scalar(self, name: str, kind: Any, method: Callable[..., Any], *args: Any) -> None:
        out = self._ask(name, method, *args)
        what = {None: "real number", jnp.floating: "float, which has a derivative", jnp.bool_: "truth value"}[kind]
        if _shape(out) != () or not _is_of(kind, out.dtype):
            # A state that is an array easily makes a reward of shape [1].
            parts = ["jnp.sum or jnp.mean of its parts"] if _shape(out) and kind is not jnp.bool_ else []
            self._refuse(f"{name} returns {_describe(out)}", *parts, f"one {what}, of shape []")

    def _ask(self, name: str, method: Callable[..., Any], *args: Any) -> Any:
        try:
            return jax.eval_shape(method, *args)
        # Ours say what is wrong already.
        except SpanaxError:
            raise
        except Exception as error:
            # JAX's messages go on for pages; the whole one is the cause in the traceback.
            first = next(iter(str(error).splitlines()), "")
            raise SpanaxError(f"train(via={self.method}): {name} raises {type(error).__name__}: {first}") from error

    def _refuse(self, problem: str, *remedies: str) -> NoReturn:
        raise SpanaxError(f"train(via={self.method}): {problem}", *remedies)


def _is_of(kind: Any, dtype: Any) -> bool:
    return not jnp.issubdtype(dtype, jnp.complexfloating) if kind is None else jnp.issubdtype(dtype, kind)


def _is_float(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)


def _shape(x: Any) -> tuple[int, ...] | None:
    return tuple(x.shape) if hasattr(x, "shape") and hasattr(x, "dtype") else None


def _describe(x: Any) -> str:
    if _shape(x) is not None:
        return f"{x.dtype}{list(x.shape)}"
    shapes = jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", x)
    return f"{type(x).__name__} {shapes}".replace("'", "")
