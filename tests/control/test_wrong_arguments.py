"""What cannot be meant is refused in words, before it is traced: by `rollout`, `evaluate`, `to_gymnasium` and methods of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError, control

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


@pytest.mark.parametrize("via", [control.SHAC(horizon=2), control.LearnedModel(episodes=1)], ids=["SHAC", "LearnedModel"])
@pytest.mark.parametrize("outside", [lambda env: env, lambda env: control.TimeLimit(env, 4)])
def test_a_method_that_looks_at_the_end_of_an_episode_needs_to_see_it(via, outside, key):
    """An `AutoReset` observes the next episode's first state there: the critic, or the model, would learn a jump."""
    env = outside(control.AutoReset(control.TimeLimit(ENV, 3)))
    policy = control.MLPPolicy(env, key=key, width=2, depth=1)
    with pytest.raises(SpanaxError, match=rf"{type(via).__name__} looks at the state where an episode ends(.|\n)*env\.env"):
        control.train(env, policy, via=via, key=key, updates=1, batch=2)
