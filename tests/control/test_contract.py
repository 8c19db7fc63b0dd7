"""What does not fit is named by method, for every way of training, before anything is compiled."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

from spanax import SpanaxError, control
from spanax.control._training.method import Method

from .envs import Line

_train = sys.modules[control.train.__module__]
WAYS = {control.BPTT: control.BPTT(horizon=3, truncate=True), control.PolicyGradient: control.PolicyGradient()}
WAYS |= {control.SHAC: control.SHAC(horizon=3), control.LearnedModel: control.LearnedModel(episodes=2)}
WAYS[control.Mixed] = control.Mixed(horizon=3)


def test_every_way_of_training_is_here():
    methods = {c for c in vars(control).values() if isinstance(c, type) and issubclass(c, Method)}
    # A choice trains policies of one class alone: see test_choice.py.
    assert methods - {control.Choice} == set(WAYS)


class Gain(eqx.Module):
    w: jax.Array
    out: str = eqx.field(default="right", static=True)

    def __call__(self, observation):
        action = self.w * observation
        return {
            "right": lambda: action,
            "scalar": lambda: action[0],
            "longer": lambda: jnp.append(action, 0.0),
            "integer": lambda: action.astype(int),
            "tuple": lambda: (action, action),
            "raises": lambda: action @ jnp.ones((3, 3)),
        }[self.out]()

    def distribution(self, observation):
        mean = self.w * observation
        return {
            "right": lambda: dist.Normal(mean, 1.0).to_event(1),
            "scalar": lambda: dist.Normal(mean[0], 1.0),
            "longer": lambda: dist.Normal(jnp.append(mean, 0.0), 1.0).to_event(1),
            "integer": lambda: dist.Normal(mean, 1.0),
            "tuple": lambda: (mean, mean),
            "raises": lambda: dist.Normal(mean @ jnp.ones((3, 3)), 1.0),
        }[self.out]()


class Wrong(Line):
    part: str = eqx.field(default="", static=True)

    def reset(self, key):
        return super().reset(key)

    def observe(self, state):
        return jnp.stack([state, state]) if self.part == "observe" else state[None]

    def step(self, state, action):
        return super().step(state, action)[None] if self.part == "step" else super().step(state, action)

    def reward(self, state, action, next_state):
        if self.part == "raises":
            return state @ action
        return -jnp.stack([state, next_state]) if self.part == "reward" else -(next_state**2)

    def done(self, state):
        return jnp.zeros(()) if self.part == "done" else jnp.zeros((), bool)


ENVIRONMENTS = {
    "observe": r"Wrong.observe returns float32\[2\], and its observation_space says floats of shape \[1\]",
    "step": r"Wrong.step returns float32\[1\], and Wrong.reset float32\[\]",
    "reward": r"Wrong.reward returns float32\[2\]",
    "raises": "Wrong.reward raises ",
    "done": r"Wrong.done returns float32\[\]",
}
POLICIES = {
    "scalar": (r"the policy returns float32\[\], and Line.action_space", r"event_shape \[\], and Line.action_space"),
    "longer": (r"the policy returns float32\[2\]", r"event_shape \[2\]"),
    "integer": (r"the policy returns int32\[1\], which has no derivative", r"batch_shape \[1\](.|\n)*to_event\(1\)"),
    "tuple": (r"the policy returns tuple \(float32\[1\], float32\[1\]\)", "distribution.observation. returns a tuple"),
    "raises": (
        r"the policy, with one observation float32\[1\], raises TypeError",
        "distribution, with one .* raises TypeError",
    ),
}
LOSSES = {
    "vector": (lambda state, action, after: jnp.stack([after, after]), r"the loss returns float32\[2\](.|\n)*jnp.mean"),
    "arguments": (lambda state: state, "the loss raises TypeError"),
}


def refused(message, way, monkeypatch, env=None, policy=None, **settings):
    def compiled(*_):
        raise AssertionError("it was compiled")

    given = {"updates": 2, "batch": 4, **settings}
    with monkeypatch.context() as patch, pytest.raises(SpanaxError, match=message) as error:
        patch.setattr(_train, "_Run", compiled)
        control.train(env or Line(), policy or Gain(jnp.array(0.5)), via=way, key=jax.random.key(0), **given)
    assert "test_contract.py" in error.value.where


@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: type(way).__name__)
def test_what_does_not_fit_is_named(way, monkeypatch):
    name = type(way).__name__
    for part, message in ENVIRONMENTS.items():
        refused(f"via={name}.*{message}", way, monkeypatch, env=Wrong(part=part))
    for out, messages in POLICIES.items():
        refused(
            messages[isinstance(way, control.PolicyGradient | control.Mixed)],
            way,
            monkeypatch,
            policy=Gain(jnp.array(0.5), out),
        )
    for loss, message in LOSSES.values():
        refused(message, way, monkeypatch, loss=loss)
    for progress in (1, None, "yes"):
        refused("progress=", way, monkeypatch, progress=progress)
    for count in (0, 2.0, True):
        refused("updates=", way, monkeypatch, updates=count)
        refused("batch=", way, monkeypatch, batch=count)


def test_a_reward_without_a_derivative_is_none_to_simulate_by(monkeypatch):
    class Counting(Line):
        def reward(self, state, action, next_state):
            return (next_state > 0).astype(jnp.int32)

    refused(
        r"Counting.reward returns int32\[\](.|\n)*a derivative",
        control.BPTT(horizon=3, truncate=True),
        monkeypatch,
        env=Counting(),
    )
    found = control.train(
        Counting(),
        Gain(jnp.array(0.5)),
        via=control.PolicyGradient(None),
        key=jax.random.key(0),
        updates=2,
        batch=2,
        progress=False,
    )
    assert found.episodes == 4


def test_a_choice_without_a_bridge_has_no_derivative(monkeypatch):
    class Hard(eqx.Module):
        w: jax.Array

        def __call__(self, observation):
            return self.w @ observation > 0

    hard = Hard(jnp.ones(4))
    refused(
        r"bool\[\], which has no derivative(.|\n)*StraightThrough",
        WAYS[control.BPTT],
        monkeypatch,
        control.CartPole(),
        hard,
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: type(way).__name__)
def test_updates_and_batch_by_default(way, monkeypatch):
    seen = {}

    class Run:
        def __init__(self, training, first, updates, *_):
            seen.update(updates=updates, batch=training.task.batch)

        def result(self):
            return None

    monkeypatch.setattr(_train, "_Run", Run)
    control.train(Line(), Gain(jnp.array(0.5)), via=way, key=jax.random.key(0))
    assert seen == {"updates": way.updates, "batch": way.batch}


# -- a policy that was made for another environment


class Plain(eqx.Module):
    """For observations of three numbers; it says nothing of its actions."""

    w: jax.Array

    def __call__(self, observation):
        return self.w @ observation

    def distribution(self, observation):
        return dist.Normal(self(observation), 1.0).to_event(1)


class Three(Line):
    @property
    def action_space(self):
        return control.Discrete(3)


class Two(Three):
    @property
    def action_space(self):
        return control.Discrete(2)


def mlp(env):
    return control.MLPPolicy(env, key=jax.random.key(0), width=4)


STRANGERS = {
    "three actions for two": (
        Two(),
        mlp(Three()),
        r"made for the actions Discrete\(3\), and those of Two are Discrete",
    ),
    "a box for a choice": (control.CartPole(), mlp(control.Pendulum()), r"made for the actions Box(.|\n)*CartPole"),
    "a choice for a box": (control.Pendulum(), mlp(control.CartPole()), r"made for the actions Discrete\(2\)"),
    "two numbers for one": (Line(), mlp(control.Trebuchet()), r"made for the actions Box\(\[5.0, 60.0\]"),
    "other observations": (control.Pendulum(), mlp(Line()), r"one observation float32\[3\]"),
    "of one's own": (Line(), Plain(jnp.ones((1, 3))), r"one observation float32\[1\].* raises TypeError"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=lambda way: type(way).__name__)
@pytest.mark.parametrize("name", STRANGERS)
def test_a_policy_for_another_environment_is_refused_in_training(name, way, monkeypatch):
    env, policy, message = STRANGERS[name]
    refused(f"via={type(way).__name__}.*{message}", way, monkeypatch, env=env, policy=policy)


@pytest.mark.parametrize("name", STRANGERS)
def test_a_policy_for_another_environment_is_refused_in_rollouts(name, key):
    env, policy, message = STRANGERS[name]
    calls = [
        lambda: control.rollout(env, policy, env.reset(key), 3),
        lambda: control.evaluate(env, policy, 2, key=key),
        lambda: control.evaluate(control.TimeLimit(env, 3), policy, 2, key=key),
    ]
    for call in calls:
        with pytest.raises(SpanaxError, match=message) as error:
            call()
        assert "test_contract.py" in error.value.where


def test_another_bound_is_no_other_space(key):
    strong = control.Pendulum(max_torque=3.0)
    assert control.rollout(strong, mlp(control.Pendulum()), strong.reset(key), 2).actions.shape == (2, 1)
