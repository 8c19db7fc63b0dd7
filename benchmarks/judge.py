"""Five bridges judged on the digits VAE: 1,000 draws of the gradient each, compilation included, and the ranking.

The model is that of `vae_step` (200 Bernoulli latents, batch 100, 4 decoder evaluations an example), with parameters of standard
deviation 0.2. Compared is the gradient of all parameters, then of the encoder alone, whose ratio of variances is known.
"""

from __future__ import annotations

import functools
import time
import tracemalloc
from collections.abc import Callable

import jax
import jax.numpy as jnp

import spanax as sx
from benchmarks import _timing, vae_step
from spanax.judge.compare import compare
from spanax.judge.comparison import Comparison

ALL_SECONDS = 20.0
VARIANCE_RATIO = 141.0  # of the score function and leave-one-out there, 9220/65.3
BRIDGES: dict[str, tuple[sx.bridges.Drawing, int]] = {
    "score function": (sx.ScoreFunction(baseline=None), vae_step.SAMPLES),
    "leave-one-out": (sx.ScoreFunction(), vae_step.SAMPLES),
    "DisARM": (sx.DisARM(pairs=vae_step.PAIRS), 1),
    "Gumbel-softmax": (sx.GumbelSoftmax(0.5), vae_step.SAMPLES),
    "straight-through": (sx.StraightThrough(), vae_step.SAMPLES),
}
Loss = Callable[..., jax.Array]


def losses(x: jax.Array) -> dict[str, Loss]:
    """label -> (encoder, decoder, key) -> the mean over the batch."""

    def loss(encoder, decoder, *, key, via, samples):
        objective = sx.expectation(functools.partial(vae_step._loss, via=via), samples=samples)
        keys = jax.random.split(key, len(x))
        return jnp.mean(jax.vmap(objective, in_axes=(None, 0))({**encoder, **decoder}, x, key=keys))

    return {label: functools.partial(loss, via=via, samples=samples) for label, (via, samples) in BRIDGES.items()}


def judged(draws: int, argnums: tuple[int, ...], of: dict[str, Loss], parts: tuple[dict, dict]) -> Comparison:
    return compare(of["leave-one-out"], *parts, key=jax.random.key(0), vias=of, draws=draws, argnums=argnums)


def main() -> None:
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--draws", type=int, default=1000, help="gradients of each bridge (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro", "numpy", "scikit-learn")
    params, x = vae_step.problem()
    params = {name: 2 * value for name, value in params.items()}
    encoder, decoder = ({k: v for k, v in params.items() if k.startswith(part)} for part in ("encode", "decode"))
    of = losses(x)

    start = time.perf_counter()
    found = judged(args.draws, (0, 1), of, (encoder, decoder))
    seconds = time.perf_counter() - start
    print(f"{found}\n")
    _timing.verdict(f"{args.draws} draws of {len(of)} bridges, seconds, compilation included", seconds, ALL_SECONDS)

    tracemalloc.start()
    of_encoder = judged(max(100, args.draws // 4), (0,), of, (encoder, decoder))
    peak = tracemalloc.get_traced_memory()[1]
    size = sum(leaf.size for leaf in encoder.values())
    print(f"memory of the host, at its peak: {peak / 1e6:.0f} MB, {peak / (8 * size):.0f} gradients in float64")
    variance = {row.label: row.variance for row in of_encoder.rows}
    ratio = variance["score function"] / variance["leave-one-out"]
    print(
        f"variance of the encoder's gradient: score function {variance['score function']:.0f}, leave-one-out "
        f"{variance['leave-one-out']:.1f}, DisARM {variance['DisARM']:.1f} (9220, 65.3, 92.8 in an earlier measurement)"
    )
    _timing.verdict(
        "score function by leave-one-out, by what it was earlier", ratio / VARIANCE_RATIO, 0.5, at_least=True
    )


if __name__ == "__main__":
    main()
