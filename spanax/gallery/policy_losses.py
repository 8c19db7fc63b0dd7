"""The losses that language models are trained with after pretraining, from their papers' formulas, as plain functions.

Each is `loss(logp, old_logp, rewards, mask)`, to be minimised:

- `logp` [group, tokens]: log-probabilities of the tokens that were drawn, by the present policy; it is differentiated;
- `old_logp` [group, tokens]: the same by the policy that drew them;
- `rewards` [group]: one for each sequence, R below; `mask` [group, tokens]: 1.0 for its tokens, the end token included.

In the formulas i is a sequence in a group of G, |o| its number of tokens, t a token, A an advantage, r = exp(logp - old_logp).
Terms with a reference policy (KL penalties) are left out: they belong to another objective than the expected reward.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError

Tokens = Float[Array, "group tokens"]
Rewards = Float[Array, " group"]
Scalar = Float[Array, ""]

EPS = 1e-4  # beside a standard deviation: equal rewards have one of 0, or of the rounding of their mean


def reinforce(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/G sum_i R_i sum_t logp_it. Williams (1992), Machine Learning 8, 229, section 5 (REINFORCE), without a baseline."""
    return _policy_gradient(logp, rewards[:, None], mask)


def reinforce_with_mean(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/G sum_i (R_i - mean R) sum_t logp_it: Williams' baseline, taken to be the mean of the batch."""
    return _policy_gradient(logp, _centred(rewards)[:, None], mask)


def rloo(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/G sum_i (R_i - b_i) sum_t logp_it, b_i = 1/(G-1) sum_{j != i} R_j: REINFORCE, leave one out.

    Kool, van Hoof, Welling (2019), Buy 4 REINFORCE samples, get a baseline for free; Ahmadian et al. (2024), arXiv:2402.14740.
    """
    return _policy_gradient(logp, _leave_one_out(rewards)[:, None], mask)


def grpo(
    logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens, *, std: bool = True, length: bool = True
) -> Scalar:
    """-1/G sum_i 1/|o_i| sum_t min(r A_i, clip(r, 0.8, 1.2) A_i), A_i = (R_i - mean R)/std R.

    Shao et al. (2024), DeepSeekMath, arXiv:2402.03300, equation 3 and section 4.1.2 (outcome supervision). `std` and `length`:
    with 1/std R, and with 1/|o_i|; without both it is Dr. GRPO's.
    """
    advantages = _standardised(rewards) if std else _centred(rewards)
    by_token = _clipped(logp, old_logp, advantages[:, None], 0.2, 0.2) * mask
    by_sequence = jnp.sum(by_token, axis=1)
    return -jnp.mean(by_sequence / jnp.sum(mask, axis=1) if length else by_sequence)


def dr_grpo(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/G sum_i sum_t min(r A_i, clip(r, 0.8, 1.2) A_i), A_i = R_i - mean R: "GRPO done right".

    Liu et al. (2025), Understanding R1-Zero-Like Training, arXiv:2503.20783, section 3.2. Their code divides by a constant, the
    largest length, which is another learning rate.
    """
    return grpo(logp, old_logp, rewards, mask, std=False, length=False)


def dapo(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/(sum_i |o_i|) sum_i sum_t min(r A_i, clip(r, 0.8, 1.28) A_i), A_i = (R_i - mean R)/std R.

    Yu et al. (2025), arXiv:2503.14476, equations 8 and 9: the clip is higher above, and all tokens of a group weigh alike. Their
    dynamic sampling draws again where all rewards of a group are equal; such a group has no gradient here. Drawn again, a prompt
    counts 1/P(not all equal) times as much: more weight for the easiest and the hardest, as by 1/std. Their penalty for overlong
    answers is part of the reward.
    """
    by_token = _clipped(logp, old_logp, _standardised(rewards)[:, None], 0.2, 0.28) * mask
    return -jnp.sum(by_token) / jnp.sum(mask)


def reinforce_plus_plus(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens) -> Scalar:
    """-1/(sum_i |o_i|) sum_i sum_t min(r A_it, clip(r, 0.8, 1.2) A_it), A_it = (R_i - mean)/std, over all tokens of the batch.

    Hu et al. (2025), REINFORCE++, arXiv:2501.03262, global advantage normalisation. The group is the whole batch, of all prompts.
    Their A_it also has the KL penalties of the tokens from t on, which are left out.
    """
    _check_group(rewards)
    count = jnp.sum(mask)
    centred = rewards[:, None] - jnp.sum(rewards[:, None] * mask) / count
    std = jnp.sqrt(jnp.sum(centred**2 * mask) / count)
    return -jnp.sum(_clipped(logp, old_logp, centred / (std + EPS), 0.2, 0.2) * mask) / count


def ppo_clip(logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens, *, clip: float = 0.2) -> Scalar:
    """-1/G sum_i sum_t min(r A_i, clip(r, 1 - clip, 1 + clip) A_i), with RLOO's A_i = R_i - b_i in the place of a critic's.

    Schulman et al. (2017), Proximal Policy Optimization, arXiv:1707.06347, equation 7. A sum over tokens, not their mean: what is
    off here is not the length's, but the clip's (`jnp.inf`: none), and that r has the probability of one token, and not of those
    around it.
    """
    return -jnp.mean(jnp.sum(_clipped(logp, old_logp, _leave_one_out(rewards)[:, None], clip, clip) * mask, axis=1))


def optimal_token_baseline(
    logp: Tokens, old_logp: Tokens, rewards: Rewards, mask: Tokens, *, leave_one_out: bool = False
) -> Scalar:
    """-1/G sum_i sum_t (R_i - B_t) logp_it, B_t = sum_j W_jt R_j / sum_j W_jt over sequences with a token t.

    The Optimal Token Baseline (2026), arXiv:2602.07078: W_jt estimates the squared norm of the gradient of the log-probability of
    the first t tokens, by sum_{s <= t} (1 - 2 p_js + sum_k p_k^2), with the probability p_js of the token drawn. The last sum,
    over the vocabulary, is not in logp: here W_jt = sum_{s <= t} (1 - p_js)^2, which is between half of theirs and all of it.

    `leave_one_out`: B of a sequence is that of the others. Then it is unbiased, whatever the weights are.
    """
    _check_group(rewards)
    weights = jnp.cumsum((1 - jnp.exp(old_logp)) ** 2 * mask, axis=1) * mask
    # Which sequences count for which. A difference of sums would leave rounding of its own rewards in a baseline.
    who = jnp.ones_like(logp, shape=(len(rewards), len(rewards)))
    if leave_one_out:
        who = who - jnp.eye(len(rewards), dtype=logp.dtype)
    baselines = who @ (weights * rewards[:, None]) / (who @ weights + jnp.finfo(logp.dtype).tiny)
    return _policy_gradient(logp, rewards[:, None] - baselines, mask)


def _policy_gradient(logp: Tokens, advantages: Float[Array, "group _"], mask: Tokens) -> Scalar:
    return -jnp.mean(jnp.sum(advantages * logp * mask, axis=1))


def _clipped(logp: Tokens, old_logp: Tokens, advantages: Float[Array, "group _"], below: float, above: float) -> Tokens:
    ratio = jnp.exp(logp - old_logp)
    return jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - below, 1 + above) * advantages)


def _leave_one_out(rewards: Rewards) -> Rewards:
    """R_i less the mean of the others."""
    return _centred(rewards) * (len(rewards) / (len(rewards) - 1))


def _standardised(rewards: Rewards) -> Rewards:
    # The unbiased variance, as in most implementations: the papers leave it open.
    return _centred(rewards) / (jnp.std(rewards, ddof=1) + EPS)


def _centred(rewards: Rewards) -> Rewards:
    _check_group(rewards)
    return rewards - jnp.mean(rewards)


def _check_group(rewards: Rewards) -> None:
    # One sequence has no others: 0/0 would be NaN in some of these losses, and a silent 0 in the others.
    if len(rewards) < 2:
        raise SpanaxError("a group of one sequence has nothing to be compared with", "a group of 2 or more")
