"""Does the model predict? Metrics of a training, and what is said where they are bad."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._training.method import Verdict

# Below the first a policy was trained in a fantasy; below the second it is doubtful.
NOTHING, DOUBTFUL = 0.1, 0.9
_MORE = "more episodes: control.LearnedModel(episodes=...)"
_NOISE = "a noisy environment is predicted no better: compare result.returns"
_SCORE = "via=control.PolicyGradient(), which needs no model"


def metrics_of(held_out: Float[Array, " o+1"], new: Float[Array, " o+1"], given: bool) -> dict[str, Float[Array, ""]]:
    """`held_out`, `new`: R^2 of each change, the reward, and the end; `given`: a reward that is not learned."""
    none = jnp.full((), jnp.nan)
    return {
        "model_r2": jnp.nanmean(held_out[:-2]),
        "model_r2_worst": jnp.nanmin(held_out[:-2]),
        "model_r2_reward": none if given else held_out[-2],
        "model_r2_end": held_out[-1],
        "model_r2_new": jnp.nanmean(new[:-2]),
    }


def verdict_on(metrics: Mapping[str, Float[np.ndarray, " updates"]], needs_reward: bool) -> Verdict | None:
    """By the last model. `needs_reward`: the policy was trained by the reward, and not by a loss."""
    last = {name: float(rows[-1]) for name, rows in metrics.items()}
    # What never changes has no R^2, and compares false. One part that is noise may be of no use to anybody: it is no failure.
    known = {"the observation": last["model_r2"]} | ({"the reward": last["model_r2_reward"]} if needs_reward else {})
    if nothing := _below(known, NOTHING):
        return Verdict(True, f"the learned model predicts nothing of {nothing[0]} ({_listed(last)})", (_MORE, _SCORE))
    doubtful = _below(known, DOUBTFUL)
    if last["model_r2_worst"] < DOUBTFUL and "the observation" not in doubtful:
        doubtful = ["a part of the observation", *doubtful]
    if not doubtful:
        return None
    problem = f"the learned model predicts {' and '.join(doubtful)} poorly ({_listed(last)})"
    return Verdict(False, problem, (_MORE, _NOISE, _SCORE))


def _below(known: Mapping[str, float], least: float) -> list[str]:
    return [name for name, r2 in known.items() if r2 < least]


def _listed(last: Mapping[str, float]) -> str:
    values = ", ".join(f"{name} {x:.3f}" for name, x in last.items() if np.isfinite(x))
    return f"R^2 at steps that were held out: {values or 'none'}"
