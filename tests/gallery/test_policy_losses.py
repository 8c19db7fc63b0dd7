"""Policy losses beside their papers' formulas, written a second time in NumPy, in the mean over ALL groups of a tiny world.

Two tokens, two positions, 0 ends: the sequences are (0), (1, 0) and (1, 1), and a group of two is one of nine. Every expectation
is a sum over these, so that nothing here is random.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax.gallery import policy_losses as losses

LOGITS = np.array([[0.3, -0.4], [0.9, 0.1]])  # of the token at each position
OLD = LOGITS + np.array([[0.2, -0.3], [-0.4, 0.3]])
SEQUENCES = np.array([[0, 0], [1, 0], [1, 1]])
MASK = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
REWARDS = np.array([0.25, 1.0, -0.5])
ALL = {
    "reinforce": losses.reinforce,
    "reinforce_with_mean": losses.reinforce_with_mean,
    "rloo": losses.rloo,
    "grpo": losses.grpo,
    "grpo without std": partial(losses.grpo, std=False),
    "grpo without length": partial(losses.grpo, length=False),
    "dr_grpo": losses.dr_grpo,
    "dapo": losses.dapo,
    "reinforce_plus_plus": losses.reinforce_plus_plus,
    "ppo_clip": losses.ppo_clip,
    "ppo without clip": partial(losses.ppo_clip, clip=jnp.inf),
    "optimal_token_baseline": losses.optimal_token_baseline,
    "of others": partial(losses.optimal_token_baseline, leave_one_out=True),
}
CLIPPED = {
    "grpo",
    "grpo without std",
    "grpo without length",
    "dr_grpo",
    "dapo",
    "reinforce_plus_plus",
    "ppo_clip",
    "ppo without clip",
}


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def log_probs(logits):
    """[sequence, position], with what stands behind the end."""
    return np.array([[log_softmax(logits)[t, token] for t, token in enumerate(s)] for s in SEQUENCES])


def chances(logits):
    return np.exp((log_probs(logits) * MASK).sum(1))


# -- the reference: what each token's log-probability is multiplied by, in one group


def weights_of_tokens(name, rewards, mask, old_logp):
    """[group, tokens]: the advantage of each token, and what the whole is divided by."""
    count, length = len(rewards), mask.sum(1)
    others = np.array([np.delete(rewards, i).mean() for i in range(count)])
    centred, std = rewards - rewards.mean(), rewards.std(ddof=1) + 1e-4
    each = np.ones_like(mask)
    match name:
        case "reinforce":
            return rewards[:, None] * each, count
        case "reinforce_with_mean" | "dr_grpo":
            return centred[:, None] * each, count
        case "rloo" | "ppo_clip" | "ppo without clip":
            return (rewards - others)[:, None] * each, count
        case "grpo":
            return (centred / std / length)[:, None] * each, count
        case "grpo without std":
            return (centred / length)[:, None] * each, count
        case "grpo without length":
            return (centred / std)[:, None] * each, count
        case "dapo":
            return (centred / std)[:, None] * each, length.sum()
        case "reinforce_plus_plus":
            every = np.concatenate([[r] * int(n) for r, n in zip(rewards, length, strict=True)])
            return ((rewards - every.mean()) / (every.std() + 1e-4))[:, None] * each, length.sum()
    baselines = np.zeros_like(mask)
    for i, t in itertools.product(range(count), range(mask.shape[1])):
        paid = total = 0.0
        for j in range(count):
            if mask[j, t] and not (name == "of others" and i == j):
                weight = sum((1 - np.exp(old_logp[j, s])) ** 2 for s in range(t + 1))
                paid, total = paid + weight * rewards[j], total + weight
        baselines[i, t] = paid / total if total else 0.0
    return rewards[:, None] - baselines, count


def reference(name, logits, old):
    """E over groups drawn by `old` of the gradient of the loss, in the logits."""
    probability = np.exp(log_softmax(logits))
    found = np.zeros_like(logits)
    above = 1.28 if name == "dapo" else 1.2
    for group in itertools.product(range(3), repeat=2):
        group = list(group)
        mask, old_logp = MASK[group], log_probs(old)[group]
        advantages, share = weights_of_tokens(name, REWARDS[group], mask, old_logp)
        ratio = np.exp(log_probs(logits)[group] - old_logp)
        for i, t in itertools.product(range(2), range(2)):
            slope = advantages[i, t] * mask[i, t]
            if name in CLIPPED:
                # The clip takes the gradient away where the ratio has already moved as the advantage asks.
                gone = name != "ppo without clip" and (ratio[i, t] > above if slope > 0 else ratio[i, t] < 0.8)
                slope = 0.0 if gone else slope * ratio[i, t]
            token = SEQUENCES[group[i], t]
            found[t] -= chances(old)[group].prod() * slope / share * (np.eye(2)[token] - probability[t])
    return found


def expected(loss, logits, old):
    """The same with the loss itself."""

    def one(logits, group):
        logp = jax.nn.log_softmax(logits)[jnp.arange(2)[None], SEQUENCES[group]]
        arrays = log_probs(old)[group], REWARDS[group], MASK[group]
        return loss(logp, *(jnp.asarray(x, logits.dtype) for x in arrays))

    groups = itertools.product(range(3), repeat=2)
    return sum(chances(old)[list(g)].prod() * jax.grad(one)(jnp.asarray(logits), list(g)) for g in groups)


def exact():
    """The gradient of minus the expected reward, by differences of its three terms."""

    def value(logits):
        return -float(chances(logits) @ REWARDS)

    found, step = np.zeros_like(LOGITS), 1e-5
    for at in np.ndindex(LOGITS.shape):
        moved = np.zeros_like(LOGITS)
        moved[at] = step
        found[at] = (value(LOGITS + moved) - value(LOGITS - moved)) / (2 * step)
    return found


@pytest.mark.parametrize("old", [LOGITS, OLD], ids=["on policy", "stale"])
@pytest.mark.parametrize("name", ALL)
def test_the_mean_gradient_is_that_of_the_formula(name, old, x64):
    np.testing.assert_allclose(expected(ALL[name], LOGITS, old), reference(name, LOGITS, old), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["reinforce", "rloo", "ppo_clip", "of others"])
def test_what_leaves_the_own_sample_out_is_unbiased(name, x64):
    np.testing.assert_allclose(expected(ALL[name], LOGITS, LOGITS), exact(), rtol=1e-8)


@pytest.mark.parametrize("name", ["reinforce_with_mean", "dr_grpo"])
def test_the_mean_of_the_group_shrinks_the_gradient_by_its_share(name, x64):
    np.testing.assert_allclose(expected(ALL[name], LOGITS, LOGITS), exact() / 2, rtol=1e-8)


@pytest.mark.parametrize("name", ["grpo", "grpo without std", "dapo", "reinforce_plus_plus"])
def test_what_divides_by_the_length_points_elsewhere(name, x64):
    """In a group of two, 1/std divides by the distance of the two: it is looked for in larger groups, in test_rlhf."""
    found, right = (x.ravel() for x in (np.asarray(expected(ALL[name], LOGITS, LOGITS)), exact()))
    assert found @ right / np.linalg.norm(found) / np.linalg.norm(right) < 0.995


def drawn(dtype=jnp.float32, count=4, tokens=5, seed=0):
    """A group with garbage behind the ends."""
    random = np.random.default_rng(seed)
    mask = (np.arange(tokens)[None] <= random.integers(tokens, size=count)[:, None]).astype(float)
    logp, old, rewards = random.normal(size=(count, tokens)) - 1, random.normal(size=(count, tokens)) - 1, mask.sum(1)
    return tuple(jnp.asarray(x, dtype) for x in (logp, old, rewards * random.normal(size=count), mask))


@pytest.mark.parametrize("name", ALL)
def test_what_is_behind_the_end_does_not_count(name, dtype):
    logp, old, rewards, mask = drawn(dtype)
    value, slope = jax.value_and_grad(ALL[name])(logp, old, rewards, mask)
    other = jnp.where(mask == 0, -3.0, logp).astype(dtype), jnp.where(mask == 0, -4.0, old).astype(dtype)
    assert value.dtype == dtype and value.shape == () and np.isfinite(value)
    np.testing.assert_allclose(ALL[name](*other, rewards, mask), value, rtol=1e-5)
    assert not slope[mask == 0].any() and slope.any()


@pytest.mark.parametrize("name", sorted(set(ALL) - {"reinforce"}))
def test_equal_rewards_teach_nothing(name):
    logp, old, rewards, mask = drawn()
    slope = jax.grad(ALL[name])(logp, logp, jnp.full_like(rewards, 0.7), mask)
    # Where no other sequence is as long there are no others to be the baseline.
    alone = (jnp.sum(mask, 0) == 1)[None] & (name == "of others")
    np.testing.assert_allclose(jnp.where(alone, 0.0, slope), 0, atol=1e-3)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("name", ALL)
def test_one_sequence_is_refused_where_it_would_teach_nothing(name):
    one = drawn(count=1)
    if name == "reinforce":
        assert jax.grad(losses.reinforce)(*one).any()
    else:
        with pytest.raises(sx.SpanaxError, match="a group of one sequence has nothing to be compared with"):
            ALL[name](*one)


@pytest.mark.parametrize("name", sorted(CLIPPED))
def test_at_staleness_0_nothing_is_clipped(name):
    logp, _, rewards, mask = drawn()
    slope = jax.grad(ALL[name])(logp, logp, rewards, mask)
    advantages, share = weights_of_tokens(name, *(np.asarray(x, float) for x in (rewards, mask, logp)))
    np.testing.assert_allclose(slope, -advantages * mask / share, rtol=1e-4, atol=1e-6)
