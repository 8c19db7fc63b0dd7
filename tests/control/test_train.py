"""`train`: what it counts, where it stops, and what it keeps."""

import os
import re
import signal
import threading
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spanax import SpanaxError, control

from .envs import Coins, Line


class Gain(eqx.Module):
    w: jax.Array
    name: str = "gain"

    def __call__(self, observation):
        return self.w * observation


def train(key, env=None, w=0.5, **settings):
    given = {"via": control.BPTT(horizon=3), "updates": 20, "batch": 4, "progress": False, **settings}
    return control.train(env or Line(), Gain(jnp.array(w)), key=key, **given)


def test_it_learns_and_counts(key, dtype):
    found = train(key, w=np.asarray(-0.5, dtype), updates=300, optimizer=optax.sgd(0.05))
    assert abs(found.policy.w + 0.9) < 0.05  # the gain that stops it at once
    assert found.policy.w.dtype == dtype
    assert found.policy.name == "gain"
    assert found.env_steps == 300 * 4 * 3
    assert found.episodes == 150 * 4 + 2
    assert len(found.returns) == len(found.gradient_norms) == len(found.objectives) == 300
    np.testing.assert_array_equal(np.isfinite(found.returns), np.arange(300) > 0)
    assert found.returns[1] < found.returns[-1] < 0
    assert found.compile_seconds > 0
    assert found.run_seconds > 0
    assert not found.interrupted
    assert re.fullmatch(r"Result\(300 updates, last returns -[\d.e-]+, 3,600 steps in 602 episodes, .*\)", repr(found))


def test_the_same_key_gives_the_same_policy(key):
    one, two, other = (train(k, w=-0.5) for k in (key, key, jax.random.key(1)))
    np.testing.assert_array_equal(one.policy.w, two.policy.w)
    assert one.policy.w != other.policy.w


def test_the_gradient_check_sees_a_right_gradient_and_a_wrong_one(key, x64):
    network = eqx.nn.MLP(1, 1, 4, 1, jnp.tanh, key=key)
    settings = {"via": control.BPTT(horizon=3), "key": key, "updates": 1, "batch": 4, "progress": False}
    assert control.train(Line(), network, **settings).gradient_check > 0.9999

    class Wrong(Line):
        def step(self, state, action):
            return self.decay * state + action[0] - 1.5 * (action[0] - jax.lax.stop_gradient(action[0]))

    assert control.train(Wrong(), network, **settings).gradient_check < 0.9


def test_draws_are_checked_by_more_batches(key):
    policy = control.MLPPolicy(Coins(), key=key, width=2, depth=1)
    found = control.train(
        Coins(), policy, via=control.PolicyGradient(None), key=key, updates=1, batch=64, progress=False
    )
    assert found.gradient_check > 0.9


def test_a_gradient_that_is_no_number_stops_it(key):
    """The third update's: what was learnt before it is in the error."""

    class Breaks(Line):
        def reward(self, state, action, next_state):
            return -jnp.sqrt(next_state - 0.5 * jax.lax.stop_gradient(next_state) - 0.5 * state * 0)

    env = Breaks(limit=6)
    with pytest.raises(control.TrainingError, match=r"gradient of update 1 .* the objective nan") as caught:
        train(key, env=env, w=-3.0)
    found = caught.value.result
    assert found.policy.w == -3.0
    assert len(found.returns) == 1
    assert "test_train.py" in caught.value.where


def test_a_gradient_that_explodes_stops_it_with_its_norm(key):
    said = r"update 1 cannot be used: its norm, [\d.]+e\+\d+, is above 1e\+06"
    with pytest.raises(control.TrainingError, match=said) as caught:
        train(key, env=Line(edge=float("inf")), w=1e4)
    assert caught.value.result.gradient_norms[-1] > 1e6


def test_it_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(key, tmp_path):
    whole = train(key, updates=30)
    path = tmp_path / "deep" / "run.spanax"
    train(key, updates=11, checkpoint=path)
    found = train(key, updates=30, checkpoint=path)
    np.testing.assert_array_equal(found.policy.w, whole.policy.w)
    np.testing.assert_array_equal(found.returns, whole.returns)
    assert (found.env_steps, found.episodes) == (whole.env_steps, whole.episodes)
    again = train(key, updates=30, checkpoint=path)
    np.testing.assert_array_equal(again.policy.w, whole.policy.w)
    assert again.run_seconds == found.run_seconds
    assert [p.name for p in path.parent.iterdir()] == ["run.spanax"]


def test_a_drawing_policy_with_its_critic_goes_on_too(key, tmp_path):
    def run(updates, path=None):
        policy = control.MLPPolicy(Coins(), key=key, width=4)
        via = control.PolicyGradient()
        return control.train(
            Coins(), policy, via=via, key=key, updates=updates, batch=8, checkpoint=path, progress=False
        )

    path = tmp_path / "run"
    run(3, path)
    np.testing.assert_array_equal(run(7, path).gradient_norms, run(7).gradient_norms)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b'{"format": "other"}\n', None])
def test_a_file_of_something_else_is_refused(key, tmp_path, content):
    path = tmp_path / "run"
    if content is None:
        train(key, checkpoint=path)
        content, settings = path.read_bytes(), {"optimizer": optax.sgd(0.1)}
    else:
        path.write_bytes(content)
        settings = {}
    with pytest.raises(SpanaxError, match="does not fit"):
        train(key, checkpoint=path, **settings)
    assert path.read_bytes() == content


def test_what_stops_it_leaves_a_checkpoint(key, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(control.TrainingError):
        train(key, env=Line(edge=float("inf")), w=1e4, checkpoint=path)
    assert path.exists()


class Pressing(Line):
    """Presses Ctrl-C a moment after its third piece has begun."""

    pieces: ClassVar[list] = []

    def telling(self):
        self.pieces.append(self)
        if len(self.pieces) == 3:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return super().telling()


def test_ctrl_c_ends_it_early(key, tmp_path):
    """The result says so, and the checkpoint goes on. It comes soon after the third piece of the training has begun."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job is started without
    path, env = tmp_path / "run", Pressing()
    Pressing.pieces.clear()
    try:
        found = train(key, env=env, updates=100_000_000, checkpoint=path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.interrupted
    assert "interrupted" in repr(found)
    assert 0 < len(found.returns) < 100_000_000
    assert path.exists()
    more = train(key, env=env, updates=len(found.returns) + 5, checkpoint=path).returns
    assert len(more) == len(found.returns) + 5
    np.testing.assert_array_equal(more[:-5], found.returns)


def test_the_picture_of_a_training(key, tmp_path):
    train(key).plot(tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"updates": 0}, r"updates=0"),
        ({"batch": 2.0}, r"batch=2\.0"),
        ({"via": "bptt"}, r"via='bptt'"),
        ({"loss": 3}, "loss=3"),
        ({"env": "Pendulum-v1"}, "from_gymnasium"),
    ],
)
def test_arguments_that_do_not_fit(key, settings, said):
    with pytest.raises(SpanaxError, match=said) as caught:
        train(key, **settings)
    assert "test_train.py" in str(caught.value)


def test_a_policy_without_numbers_cannot_be_trained(key):
    with pytest.raises(SpanaxError, match="no floating-point arrays"):
        control.train(Line(), lambda o: o, via=control.BPTT(), key=key, updates=1, batch=1)


def test_an_action_of_another_shape(key):
    with pytest.raises(SpanaxError, match=r"action has shape \[2\]"):
        control.train(Line(), eqx.nn.Linear(1, 2, key=key), via=control.BPTT(), key=key, updates=1, batch=1)
