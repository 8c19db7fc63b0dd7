"""What cannot be meant is refused in words: by `rollout`, `evaluate`, `to_gymnasium` and methods of training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError, control

from .chance import Slip
from .envs import Line

ENV = Line()


def zero(observation):
    return 0 * observation


@pytest.mark.parametrize("steps", [-1, 2.5, "3", None, True])
def test_steps_of_a_rollout(steps):
    with pytest.raises(SpanaxError, match=r"rollout\(steps=(.|\n)*an integer, 0 or more"):
        control.rollout(ENV, zero, jnp.ones(()), steps)
    assert control.rollout(ENV, zero, jnp.ones(()), np.int64(2)).rewards.shape == (2,)


@pytest.mark.parametrize("starts", [2.0, "3", None, True, jnp.ones(()), (jnp.ones(2), jnp.ones(3))])
def test_starts_of_evaluate(starts, key):
    with pytest.raises(SpanaxError, match=r"evaluate\(starts="):
        control.evaluate(ENV, zero, starts, key=key)


def test_what_counts_as_a_number_and_as_a_key(key):
    raw = jax.random.key_data(key)
    returns = control.evaluate(ENV, zero, 3, key=key)
    np.testing.assert_array_equal(control.evaluate(ENV, zero, np.int64(3), key=raw), returns)
    for call in (
        lambda: control.evaluate(ENV, zero, 3, key=5),
        lambda: control.rollout(ENV, zero, jnp.ones(()), 3, key=5),
    ):
        with pytest.raises(SpanaxError, match="one PRNG key is needed, not 5"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda env: control.rollout(env, zero, jnp.ones(()), 3),
        lambda env: control.evaluate(env, zero, 3, key=jax.random.key(0)),
    ],
)
def test_what_is_no_environment(call):
    with pytest.raises(SpanaxError, match=r"is not a control.Env"):
        call(Line)

    class Foreign(Line):
        action_space = "a space of another library"

    with pytest.raises(SpanaxError, match=r"Foreign.action_space is (.|\n)*control.Box\(low, high\)"):
        call(Foreign())


def test_gymnasium_s_environments_are_single_wherever_the_wrapper_is():
    limit = control.TimeLimit
    for env, inner in (
        (limit(control.AutoReset(limit(ENV))), "env.env.env"),
        (limit(control.Batched(ENV, 2)), "env.env.env"),
        (control.Batched(ENV, 2), "env.env"),
    ):
        with pytest.raises(SpanaxError, match=rf"are single(.|\n)*to_gymnasium\({inner}\)"):
            control.to_gymnasium(env)


@pytest.mark.parametrize(
    "via", [control.SHAC(horizon=2), control.LearnedModel(episodes=1)], ids=["SHAC", "LearnedModel"]
)
@pytest.mark.parametrize("outside", [lambda env: env, lambda env: control.TimeLimit(env, 4)])
def test_a_method_that_looks_at_the_end_of_an_episode_needs_to_see_it(via, outside, key):
    """An `AutoReset` observes the next episode's first state there: the critic, or the model, would learn a jump."""
    env = outside(control.AutoReset(control.TimeLimit(ENV, 3)))
    policy = control.MLPPolicy(env, key=key, width=2, depth=1)
    with pytest.raises(
        SpanaxError, match=rf"{type(via).__name__} looks at the state where an episode ends(.|\n)*env\.env"
    ):
        control.train(env, policy, via=via, key=key, updates=1, batch=2)


@pytest.mark.parametrize("via", [control.Mixed(horizon=2), control.Choice(motion=1, choice=1)], ids=["Mixed", "Choice"])
def test_a_step_that_is_differentiated_by_itself_has_no_draws_that_need_an_expectation(via, key):
    env, kind = Slip(), control.ChoicePolicy if isinstance(via, control.Choice) else control.MLPPolicy
    with pytest.raises(
        SpanaxError, match=rf"{type(via).__name__}(.|\n)*of Slip by itself(.|\n)*'slip'(.|\n)*control.BPTT\(\)"
    ):
        control.train(env, kind(env, key=key, width=2, depth=1), via=via, key=key, updates=2, batch=4)


def test_a_state_that_changes_its_type(key):
    class Growing(Line):
        def step(self, state, action):
            return state + action

    for call in (
        lambda: control.rollout(Growing(), zero, jnp.ones(()), 2),
        lambda: control.evaluate(Growing(), zero, 2, key=key),
    ):
        with pytest.raises(SpanaxError, match=r"a step of Growing leads from a state float32\[\] to float32\[1\]"):
            call()


class Ends(Line):
    """Its answers are as a user may write them."""

    answer: object = eqx.field(default=False, static=True)
    which: str = eqx.field(default="done", static=True)

    def done(self, state):
        return self.answer if self.which == "done" else super().done(state)

    def truncated(self, state):
        return self.answer if self.which == "truncated" else super().truncated(state)


@pytest.mark.parametrize("answer", [False, True])
def test_a_truth_value_of_python(answer, key):
    """Of which `~` is -1 or -2, both of them true."""
    for env in (Ends(answer=answer), control.TimeLimit(Ends(answer=answer), 3)):
        course = control.rollout(env, zero, env.reset(key), 3)
        assert course.alive.dtype == course.terminated.dtype == course.truncated.dtype == bool
        assert course.alive.tolist() == [not answer] * 3


@pytest.mark.parametrize("via", [control.BPTT(horizon=2), control.PolicyGradient(), control.SHAC(horizon=2)])
@pytest.mark.parametrize("answer", [1.0, np.zeros(1, bool)], ids=["float", "vector"])
def test_an_end_that_is_no_truth_value(via, answer, key):
    env = Ends(answer=answer if isinstance(answer, float) else False, which="truncated")
    if not isinstance(answer, float):
        env = type("Vector", (Line,), {"truncated": lambda self, state: answer, "__module__": __name__})()
    policy = control.MLPPolicy(env, key=key, width=2, depth=1)
    with pytest.raises(SpanaxError, match=r"truncated returns (.|\n)*one truth value, of shape \[\]"):
        control.train(env, policy, via=via, key=key, updates=1, batch=2)
