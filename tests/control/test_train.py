"""`train`: what it counts, where it stops, and what it keeps."""

import contextlib
import errno
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax._fingerprint import differences, entries
from spanax.control._training.checkpoint import load
from spanax.control.train import _fingerprint, _start

from .envs import Coins, Line

KEY = jax.random.key(3)
_train = sys.modules[_start.__module__]


class Gain(eqx.Module):
    w: jax.Array
    name: str = "gain"

    def __call__(self, observation):
        return self.w * observation


def train(key, env=None, w=0.5, **settings):
    given = {"via": control.BPTT(horizon=3, truncate=True), "updates": 20, "batch": 4, "progress": False, **settings}
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


def test_the_gradient_cosine_sees_a_right_gradient_and_a_wrong_one(key, x64):
    network = eqx.nn.MLP(1, 1, 4, 1, jnp.tanh, key=key)
    settings = {"via": control.BPTT(horizon=3, truncate=True), "key": key, "updates": 1, "batch": 4, "progress": False}
    assert control.train(Line(), network, **settings).gradient_cosine > 0.9999

    class Wrong(Line):
        def step(self, state, action):
            return self.decay * state + action[0] - 1.5 * (action[0] - jax.lax.stop_gradient(action[0]))

    assert control.train(Wrong(), network, **settings).gradient_cosine < 0.9


@pytest.mark.slow
def test_draws_are_checked_by_more_batches(key):
    policy = control.MLPPolicy(Coins(), key=key, width=2, depth=1)
    found = control.train(
        Coins(), policy, via=control.PolicyGradient(None), key=key, updates=1, batch=64, progress=False
    )
    assert found.gradient_cosine > 0.9


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
    said = r"update 1 cannot be used: its norm(, [\d.]+e\+\d+, is above 1e\+06| is inf)"
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


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint of 5 updates, and how to load it as `train` does: nothing is compiled."""
    path = tmp_path_factory.mktemp("checkpoint") / "run"
    key = jax.random.key(0)
    train(key, updates=5, checkpoint=path)
    via = control.BPTT(horizon=3, truncate=True)
    training, first = _start(Line(), Gain(jnp.array(0.5)), via, key, 4, via.optimizer(5, None), None)
    log = jax.eval_shape(training.updates, first, jnp.zeros((), jnp.int32))[1]
    of = _fingerprint(training, first)
    return path.read_bytes(), lambda path: load(path, first, log, of)


def refused(written, path, content, said="does not fit"):
    path.write_bytes(content)
    with pytest.raises(SpanaxError, match=said):
        written[1](path)
    assert path.read_bytes() == content


def test_what_was_written_is_read(written, tmp_path):
    (tmp_path / "run").write_bytes(written[0])
    assert len(written[1](tmp_path / "run").log.norms) == 5
    assert b"pickle" not in written[0]


def test_one_flipped_bit_is_seen(written, tmp_path):
    """The first bytes one after the other, and 200 bits anywhere."""
    content, random = written[0], np.random.default_rng(0)
    places = [*range(80), len(content) - 1, *random.integers(len(content), size=200)]
    for place, bit in zip(places, random.integers(8, size=len(places)), strict=True):
        changed = bytearray(content)
        changed[place] ^= 1 << int(bit)
        refused(written, tmp_path / "run", bytes(changed), "damaged")


def test_a_file_that_is_cut_short_or_goes_on_is_seen(written, tmp_path):
    content = written[0]
    for length in [*range(64), *range(64, len(content), 97), len(content) - 1]:
        refused(written, tmp_path / "run", content[:length], "cut short" if length else "empty")
    refused(written, tmp_path / "run", content + b"\0")
    refused(written, tmp_path / "run", content[:1000] + content[1001:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"no checkpoint", "it is not a checkpoint"),
        (b'{"format": "other"}\n', "it is not a checkpoint"),
        (b'{"format": "spanax.training.1", "updates": 3}\n', "it is of an older format"),
        (None, "it cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(key, tmp_path, content, said):
    path = tmp_path / "run"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SpanaxError, match=f"does not fit: {said}") as caught:
        train(key, checkpoint=path)
    assert "test_train.py" in caught.value.where
    assert path.is_dir() if content is None else path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_told_at_once(key, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpanaxError, match="is not a folder to write to"):
        train(key, updates=10**9, checkpoint=tmp_path / "file" / "run")


# -- the same training, or another

WEIGHT = 2.0


def weighted(state, action, next_state):
    return WEIGHT * next_state**2


def scaled(by):
    return lambda state, action, next_state: by * next_state**2


def with_default(state, action, next_state, by=1.0):
    return by * next_state**2


class Helped(Line):
    gain = 1.0

    def step(self, state, action):
        return helper(state) + self.gain * action[0]


def helper(x):
    return 0.9 * x


def helper_changed(x):
    return 0.8 * x


def fingerprint(**settings):
    given = {
        "env": Line(),
        "policy": Gain(jnp.array(0.5)),
        "via": control.BPTT(horizon=3, truncate=True),
        "key": jax.random.key(0),
        "batch": 4,
        "optimizer": optax.adam(1e-2),
        "loss": None,
        **settings,
    }
    return _fingerprint(*_start(**given))


def step_of(code):
    """`Line` with another step."""
    space = {"Line": Line, "jnp": jnp}
    exec(f"class Coded(Line):\n    def step(self, state, action):\n        return {code}", space)
    return space["Coded"]()


OTHERS = {
    "environment.decay": ({}, {"env": Line(decay=0.8)}),
    "environment.limit": ({}, {"env": Line(limit=9)}),
    "environment was Line and is Coins": ({}, {"env": Coins(), "policy": eqx.nn.MLP(2, "scalar", 2, 1, key=KEY)}),
    "environment.env": ({"env": control.TimeLimit(Line(), 5)}, {"env": control.TimeLimit(Line(edge=9.0), 5)}),
    "Coded.step": ({"env": step_of("state + action[0]")}, {"env": step_of("state - action[0]")}),
    "Coded.step was": ({"env": step_of("state * 2")}, {"env": step_of("state * 3")}),
    "policy.w": ({}, {"policy": Gain(jnp.array(0.6))}),
    "policy.name": ({}, {"policy": Gain(jnp.array(0.5), "other")}),
    "policy was": ({}, {"policy": eqx.nn.MLP(1, 1, 2, 1, key=KEY)}),
    "policy.activation": (
        {"policy": eqx.nn.MLP(1, 1, 2, 1, jnp.tanh, key=KEY)},
        {"policy": eqx.nn.MLP(1, 1, 2, 1, jnp.sin, key=KEY)},
    ),
    "method.horizon": ({}, {"via": control.BPTT(horizon=4, truncate=True)}),
    "method.truncate": ({}, {"via": control.BPTT(horizon=3, truncate=False)}),
    "method.via": ({}, {"via": control.BPTT(horizon=3, via={"action": sx.GumbelSoftmax(0.5)}, truncate=True)}),
    "step_size was -0.01 and is -0.02": ({}, {"optimizer": optax.adam(2e-2)}),
    "b1 was 0.9 and is 0.8": ({}, {"optimizer": optax.adam(1e-2, b1=0.8)}),
    "optimizer": ({}, {"optimizer": optax.sgd(1e-2)}),
    "decay_steps": tuple({"optimizer": optax.sgd(optax.cosine_decay_schedule(0.1, n))} for n in (10, 20)),
    "batch was 4 and is 8": ({}, {"batch": 8}),
    "loss was None and is weighted": ({}, {"loss": weighted}),
    "loss by was 1.0 and is 2.0": ({"loss": scaled(1.0)}, {"loss": scaled(2.0)}),
    "loss.keywords": tuple({"loss": functools.partial(with_default, by=by)} for by in (1.0, 2.0)),
    "loss was <lambda>": ({"loss": lambda s, a, n: n**2}, {"loss": lambda s, a, n: n**4}),
    "key": ({}, {"key": jax.random.key(1)}),
}


def test_code_of_spanax_is_named_and_not_read():
    """A newer version of it is the same training."""
    assert entries(f=sx.hard.greater)["f"] == "spanax.hard.comparisons.greater"


@pytest.mark.few(8)
@pytest.mark.parametrize("name", OTHERS)
def test_another_training_is_told_apart_and_how(name):
    one, other = OTHERS[name]
    here, there = fingerprint(**one), fingerprint(**other)
    assert here == fingerprint(**one)
    said = differences(here, there)
    assert any(name in line for line in said), said


def test_policy_gradients_by_their_settings():
    policy = control.MLPPolicy(Coins(), key=KEY, width=2)
    of = lambda via: fingerprint(env=Coins(), policy=policy, via=via)
    plain = of(control.PolicyGradient())
    for name, value in {"discount": 0.9, "entropy": 0.1, "baseline": None}.items():
        other = of(control.PolicyGradient(**{name: value}))
        assert any(f"method.{name} was" in line for line in differences(plain, other))


def test_what_code_names_belongs_to_it(monkeypatch):
    loss, env = fingerprint(loss=weighted), fingerprint(env=Helped())
    monkeypatch.setitem(globals(), "WEIGHT", 3.0)
    assert differences(loss, fingerprint(loss=weighted)) == ["loss WEIGHT was 2.0 and is 3.0"]
    monkeypatch.setattr(Helped, "gain", 1.1)
    assert "Helped.gain was 1.0 and is 1.1" in differences(env, fingerprint(env=Helped()))[0]
    monkeypatch.undo()
    monkeypatch.setitem(globals(), "helper", helper_changed)
    assert "helper was helper" in differences(env, fingerprint(env=Helped()))[0]


def test_precision_belongs_to_it():
    single = fingerprint()
    with jax.enable_x64(True):
        assert any("precision was 'float32' and is 'float64'" in line for line in differences(single, fingerprint()))


def test_another_process_says_the_same():
    """No address, hash seed or order of a set is in it."""
    script = (
        "import json, tests.control.test_train as t\n"
        "print(json.dumps(t.fingerprint(env=t.Helped(), loss=t.scaled(2.0), policy=t.eqx.nn.MLP(1, 1, 2, 1, key=t.KEY))))"
    )
    root = str(pathlib.Path(__file__).parents[2])
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    policy = eqx.nn.MLP(1, 1, 2, 1, key=KEY)
    assert json.loads(run.stdout) == fingerprint(env=Helped(), loss=scaled(2.0), policy=policy)


def test_a_checkpoint_of_another_training_is_refused_and_kept(key, tmp_path):
    path = tmp_path / "run"
    train(key, updates=3, checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(SpanaxError, match=r"another training: method.horizon was 3 and is 4\n  at .*test_train"):
        train(key, updates=6, checkpoint=path, via=control.BPTT(horizon=4, truncate=True))
    assert path.read_bytes() == content
    assert len(train(key, updates=2, checkpoint=path).returns) == 3


def test_a_file_of_another_training_that_appears_meanwhile_is_kept(key, tmp_path):
    path = tmp_path / "run"

    class Intruded(Line):
        @contextlib.contextmanager
        def own_errors(self):
            if not path.exists():
                train(key, w=0.1, updates=1, checkpoint=path)
            yield

    with pytest.raises(control.TrainingError, match="written by another training meanwhile") as caught:
        train(key, env=Intruded(), updates=3, checkpoint=path)
    assert len(caught.value.result.returns) == 3
    assert len(train(key, w=0.1, updates=1, checkpoint=path).returns) == 1


def test_of_two_processes_the_one_that_is_further_is_kept(key, tmp_path):
    path = tmp_path / "run"

    class Twice(Line):
        begun: ClassVar[list] = []

        @contextlib.contextmanager
        def own_errors(self):
            if not self.begun:
                self.begun.append(1)
                train(key, env=Twice(), updates=9, checkpoint=path)
            yield

    assert len(train(key, env=Twice(), updates=3, checkpoint=path).returns) == 3
    assert len(train(key, env=Twice(), updates=3, checkpoint=path).returns) == 9


def test_a_full_disk_loses_nothing(key, tmp_path, monkeypatch):
    """The file stays as it was, without remains beside it; the result is in the error, and in between there is a warning."""
    path = tmp_path / "run"
    train(key, updates=3, checkpoint=path)
    content = path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(_train, "BETWEEN_SAVES", 0.0)
    with (
        pytest.warns(sx.SpanaxWarning, match="could not be written: No space left"),
        pytest.raises(control.TrainingError, match="could not be written: No space left") as caught,
    ):
        train(key, updates=8, checkpoint=path)
    assert len(caught.value.result.returns) == 8
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    monkeypatch.undo()
    np.testing.assert_array_equal(train(key, updates=8, checkpoint=path).returns, caught.value.result.returns)


def test_what_stops_it_leaves_a_checkpoint(key, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(control.TrainingError):
        train(key, env=Line(edge=float("inf")), w=1e4, checkpoint=path)
    assert path.exists()


class Pressing(Line):
    """Presses Ctrl-C a moment after its third piece has begun."""

    pieces: ClassVar[list] = []

    def own_errors(self):
        self.pieces.append(self)
        if len(self.pieces) == 3:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return super().own_errors()


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
    with pytest.raises(SpanaxError, match=r"the policy returns float32\[2\]"):
        control.train(Line(), eqx.nn.Linear(1, 2, key=key), via=control.BPTT(), key=key, updates=1, batch=1)
