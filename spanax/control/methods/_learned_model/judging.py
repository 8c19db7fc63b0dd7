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
    values = ", ".join(f"{name} {x:.3f}" for name, x in last.items() if np.isfinite(x))
    said = f"R^2 at steps that were held out: {values or 'none'}"
    named = {"the observation": last["model_r2"]} | ({"the reward": last["model_r2_reward"]} if needs_reward else {})
    for name, r2 in named.items():
        if r2 < NOTHING:
            return Verdict(True, f"the learned model predicts nothing of {name} ({said})", (_MORE, _SCORE))
    doubtful = [name for name, r2 in named.items() if r2 < DOUBTFUL]
    if last["model_r2_worst"] < DOUBTFUL and "the observation" not in doubtful:
        doubtful.insert(0, "a part of the observation")
    if doubtful:
        what = f"the learned model predicts {' and '.join(doubtful)} poorly ({said})"
        return Verdict(False, what, (_MORE, "a noisy environment predicts no better: compare result.returns", _SCORE))
    return None
