"""Policies and results in pickles, in files without pickle, and in notebooks."""

import hashlib
import html.parser
import json
import pickle
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import SpanaxError, control
from spanax._sealed_file import UnfitError, read_arrays, unseal
from spanax.control.policies.mlp import FORMAT
from spanax.control.result import FORMAT as RESULT_FORMAT

from .envs import Coins, Line

OBSERVATION = jnp.array([0.3, -0.2, 0.1, 0.5])
BRIDGES = [
    None,
    sx.ScoreFunction(),
    sx.ScoreFunction(None),
    sx.GumbelSoftmax(0.5),
    sx.StraightThrough(),
    sx.StraightThrough(sx.Soft(0.5)),
    sx.StraightThrough(sx.Perturbed(0.1)),
    sx.ReinMax(),
]


def policy_of(via=None, **settings):
    settings = {"width": 4, "depth": 1, "scale": [1.0, 2.0, 3.0, 4.0]} | settings
    return control.MLPPolicy(control.CartPole(), key=jax.random.key(3), via=via, **settings)


def pendulum_policy():
    policy = control.MLPPolicy(control.Pendulum(), key=jax.random.key(3), width=4, depth=1, activation=jax.nn.relu)
    return eqx.tree_at(lambda p: p.log_std, policy, jnp.array([0.25]))


def assert_same(one, other):
    assert eqx.tree_equal(one, other, typematch=True)
    assert one.space == other.space


# -- pickles


@pytest.mark.parametrize("activation", [jax.nn.tanh, jax.nn.relu, jnp.sin])
def test_a_policy_pickles_with_the_activations_of_jax(activation):
    policy = policy_of(activation=activation)
    again = pickle.loads(pickle.dumps(policy))
    assert_same(policy, again)
    np.testing.assert_array_equal(again(OBSERVATION), policy(OBSERVATION))


@pytest.mark.parametrize("via", BRIDGES, ids=repr)
def test_a_policy_pickles_with_its_bridge(via):
    policy = policy_of(via)
    assert_same(policy, pickle.loads(pickle.dumps(policy)))


def test_a_pickle_acts_the_same_in_a_fresh_process(tmp_path):
    policy = pendulum_policy()
    (tmp_path / "policy").write_bytes(pickle.dumps(policy))
    script = (
        "import pickle, sys, jax.numpy as jnp; policy = pickle.load(open(sys.argv[1], 'rb'));"
        "print(policy(jnp.array([0.3, -0.2, 0.1])).tolist(), policy.distribution(jnp.ones(3)).base_dist.scale.tolist())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "policy"], capture_output=True, text=True, check=True
    )
    action, scale = policy(jnp.array([0.3, -0.2, 0.1])), policy.distribution(jnp.ones(3)).base_dist.scale
    assert ran.stdout.strip() == f"{action.tolist()} {scale.tolist()}"


class Own(control.MLPPolicy):
    """A subclass with a field of its own."""

    gain: float = 2.0

    def __init__(self, gain, **settings):
        super().__init__(control.CartPole(), **settings)
        self.gain = gain


def test_a_subclass_pickles():
    policy = Own(3.0, key=jax.random.key(0), width=2, depth=1)
    again = pickle.loads(pickle.dumps(policy))
    assert type(again) is Own
    assert again.gain == 3.0
    assert_same(policy, again)


def test_a_trained_policy_pickles(key):
    result = control.train(
        control.CartPole(),
        policy_of(sx.StraightThrough(sx.Soft(0.5))),
        via=control.BPTT(horizon=3),
        loss=lambda state, action, after: after[2] ** 2,
        key=key,
        updates=2,
        batch=2,
        progress=False,
    )
    assert_same(result.policy, pickle.loads(pickle.dumps(result.policy)))


# -- files of policies


@pytest.mark.parametrize("via", BRIDGES, ids=repr)
def test_what_is_saved_is_loaded(tmp_path, via):
    policy = policy_of(via)
    policy.save(tmp_path / "policy")
    again = control.MLPPolicy.load(tmp_path / "policy")
    assert_same(policy, again)
    assert repr(again.via) == repr(via)


def test_continuous_actions_and_their_noise_are_loaded(tmp_path):
    policy = pendulum_policy()
    policy.save(tmp_path / "policy")
    again = control.MLPPolicy.load(tmp_path / "policy")
    assert_same(policy, again)
    np.testing.assert_array_equal(again(OBSERVATION[:3]), policy(OBSERVATION[:3]))


def test_the_file_is_small_and_holds_no_pickle(tmp_path):
    policy_of().save(tmp_path / "policy")
    content = (tmp_path / "policy").read_bytes()
    assert content.startswith(FORMAT)
    assert b"pickle" not in content
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(content)


def test_an_activation_and_a_bridge_of_your_own_are_asked_for(tmp_path):
    policy = policy_of(activation=lambda x: x / (1 + jnp.abs(x)))
    policy.save(tmp_path / "policy")
    with pytest.raises(SpanaxError, match=r"activation is not in the file[\s\S]*activation=\.\.\."):
        control.MLPPolicy.load(tmp_path / "policy")
    again = control.MLPPolicy.load(tmp_path / "policy", activation=policy.network.activation)
    assert_same(policy, again)

    class Mine(sx.GumbelSoftmax):
        pass

    policy_of(Mine(0.5)).save(tmp_path / "policy")
    with pytest.raises(SpanaxError, match=r"bridge is not in the file, Mine\(0.5|bridge is not in the file, Mine\("):
        control.MLPPolicy.load(tmp_path / "policy")
    assert_same(policy_of(Mine(0.5)), control.MLPPolicy.load(tmp_path / "policy", via=Mine(0.5)))


def test_a_bridge_that_is_given_takes_the_place_of_the_saved_one(tmp_path):
    policy_of(sx.GumbelSoftmax(0.5)).save(tmp_path / "policy")
    again = control.MLPPolicy.load(tmp_path / "policy", via=sx.ScoreFunction())
    assert repr(again.via) == repr(sx.ScoreFunction())


def test_a_subclass_and_another_network_are_not_saved(tmp_path):
    with pytest.raises(SpanaxError, match=r"Own.save: only what MLPPolicy makes"):
        Own(3.0, key=jax.random.key(0)).save(tmp_path / "policy")
    other = eqx.tree_at(lambda p: p.network, policy_of(), eqx.nn.Linear(4, 1, key=jax.random.key(0)))
    with pytest.raises(SpanaxError, match=r"tree_serialise_leaves"):
        other.save(tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(SpanaxError, match=r"cannot be written to .*missing.*No such file"):
        policy_of().save(tmp_path / "missing" / "policy")
    with pytest.raises(SpanaxError, match=r"cannot be read \(No such file"):
        control.MLPPolicy.load(tmp_path / "missing")


def test_a_flipped_bit_is_seen(tmp_path):
    path, random = tmp_path / "policy", np.random.default_rng(0)
    policy_of().save(path)
    content = path.read_bytes()
    for place in [*range(60), len(content) - 1, *random.integers(len(content), size=60)]:
        changed = bytearray(content)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(changed))
        with pytest.raises(SpanaxError, match="damaged"):
            control.MLPPolicy.load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: b"", "it is empty"),
        (lambda content: content[:5], "it is cut short"),
        (lambda content: content[:-7], "damaged or cut short"),
        (lambda content: content + b"\0", "damaged or cut short"),
        (lambda content: b"something else", "it is not a file that MLPPolicy.save wrote"),
        (lambda content: content.replace(FORMAT, b"spanax.policy.7\n"), "of format 7, of another version"),
        (lambda content: content.replace(FORMAT, RESULT_FORMAT), "it is not a file that MLPPolicy.save wrote"),
    ],
)
def test_another_file_is_refused(tmp_path, change, said):
    path = tmp_path / "policy"
    policy_of().save(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SpanaxError, match=said) as caught:
        control.MLPPolicy.load(path)
    assert "test_saving.py" in caught.value.where


def with_head(content, **changes):
    """A file whose head somebody has written by hand, with the right checksum."""
    head, rest = unseal(content, FORMAT, "")
    body = json.dumps(head | changes).encode() + b"\n" + rest.read()
    return FORMAT + hashlib.sha256(body).digest() + body


@pytest.mark.parametrize("name", ["os.system", "jax.nn.__loader__", "jax.numpy.load", "jax.nn.initializers.zeros", ""])
def test_a_file_names_activations_of_jax_only(tmp_path, name):
    path = tmp_path / "policy"
    policy_of().save(path)
    path.write_bytes(with_head(path.read_bytes(), activation=name))
    with pytest.raises(SpanaxError, match="activation is not in the file"):
        control.MLPPolicy.load(path)


@pytest.mark.parametrize("name", ["Facts", "base", "os", "__doc__", "Manual"])
def test_a_file_names_bridges_of_draws_and_steps_only(tmp_path, name):
    path = tmp_path / "policy"
    policy_of().save(path)
    path.write_bytes(with_head(path.read_bytes(), via={"bridge": name, "fields": {}}))
    with pytest.raises(SpanaxError, match="its bridge is not one of"):
        control.MLPPolicy.load(path)


@pytest.mark.parametrize(
    "changes", [{"sizes": [4, 1]}, {"dtypes": None}, {"n": "2"}, {"sizes": [4, 3, 4, 1]}], ids=repr
)
def test_a_head_that_makes_no_sense_is_refused(tmp_path, changes):
    path = tmp_path / "policy"
    policy_of().save(path)
    path.write_bytes(with_head(path.read_bytes(), **changes))
    with pytest.raises(SpanaxError):
        control.MLPPolicy.load(path)


def test_arrays_of_other_shapes_and_objects_are_refused(tmp_path):
    path = tmp_path / "policy"
    policy_of().save(path)
    content = path.read_bytes()
    path.write_bytes(with_head(content, sizes=[4, 1, 5, 1]))
    with pytest.raises(SpanaxError, match="other shapes than its sizes say"):
        control.MLPPolicy.load(path)
    with pytest.raises(UnfitError, match="its arrays cannot be read"):
        head, rest = unseal(content, FORMAT, "")
        read_arrays(rest, [*head["dtypes"], "float32"])


def test_float64_is_not_rounded(tmp_path):
    with jax.enable_x64(True):
        policy = policy_of()
        policy.save(tmp_path / "policy")
        assert_same(policy, control.MLPPolicy.load(tmp_path / "policy"))
        assert policy.network.layers[0].weight.dtype == jnp.float64
    with pytest.raises(SpanaxError, match=r"a policy in float64, and JAX computes in float32"):
        control.MLPPolicy.load(tmp_path / "policy")


def test_bfloat16_is_kept(tmp_path):
    policy = jax.tree.map(lambda x: x.astype(jnp.bfloat16) if isinstance(x, jax.Array) else x, policy_of())
    policy.save(tmp_path / "policy")
    assert_same(policy, control.MLPPolicy.load(tmp_path / "policy"))


# -- results


@pytest.fixture(scope="module")
def result():
    key = jax.random.key(0)
    policy = control.MLPPolicy(Coins(), key=key, width=2, depth=1)
    return control.train(
        Coins(), policy, via=control.PolicyGradient(None), key=key, updates=12, batch=4, progress=False
    )


def test_a_result_is_loaded_with_its_policy_and_curves(result, tmp_path):
    result.save(tmp_path / "result")
    policy = control.MLPPolicy(Coins(), key=jax.random.key(9), width=2, depth=1)
    again = control.Result.load(tmp_path / "result", policy)
    assert_same(result.policy, again.policy)
    for name in ("returns", "objectives", "gradient_norms", "steps_so_far"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
        assert getattr(again, name).dtype == getattr(result, name).dtype
    assert repr(again) == repr(result)
    assert (again.env_steps, again.episodes, again.interrupted) == (result.env_steps, result.episodes, False)
    again.plot(tmp_path / "curves.png")


def test_the_gradient_cosine_is_saved_where_it_was_measured(result, tmp_path):
    result.save(tmp_path / "before")
    loaded = control.Result.load(tmp_path / "before", result.policy)
    with pytest.raises(SpanaxError, match="was not measured before this result was saved"):
        loaded.gradient_cosine  # noqa: B018
    measured = result.gradient_cosine
    result.save(tmp_path / "after")
    again = control.Result.load(tmp_path / "after", result.policy)
    assert again.gradient_cosine == measured
    again.save(tmp_path / "again")
    assert control.Result.load(tmp_path / "again", result.policy).gradient_cosine == measured


def test_a_result_of_another_policy_or_another_file_is_refused(result, tmp_path):
    result.save(tmp_path / "result")
    other = control.MLPPolicy(Coins(), key=jax.random.key(9), width=3, depth=1)
    with pytest.raises(SpanaxError, match="its policy has arrays of other shapes"):
        control.Result.load(tmp_path / "result", other)
    policy_of().save(tmp_path / "policy")
    with pytest.raises(SpanaxError, match=r"it is not a file that Result\.save wrote"):
        control.Result.load(tmp_path / "policy", other)
    with pytest.raises(SpanaxError, match="the result cannot be written"):
        result.save(tmp_path / "missing" / "result")


class Tags(html.parser.HTMLParser):
    """Checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_shows_the_counts_and_the_curve(result):
    text = result._repr_html_()
    tags = Tags(text)
    assert tags.seen.count("svg") == tags.seen.count("polyline") == 1
    assert "script" not in tags.seen
    assert not [name for name, _ in tags.attributes if name in ("href", "src") or name.startswith("on")]
    assert "12 updates" in text
    assert f"{result.env_steps:,}" in text
    points = re.search(r'points="([^"]*)"', text)
    assert points is not None
    pairs = [tuple(map(float, pair.split(","))) for pair in points[1].split()]
    assert pairs == sorted(pairs)
    assert all(0 <= x <= 480 and 0 <= y <= 160 for x, y in pairs)


def test_html_of_a_training_without_ended_episodes_has_no_curve(key):
    policy = eqx.nn.Linear(1, 1, key=key)
    result = control.train(
        Line(), policy, via=control.BPTT(horizon=2, truncate=True), key=key, updates=1, batch=1, progress=False
    )
    assert "<svg" not in result._repr_html_()
    assert "none yet" in result._repr_html_()
