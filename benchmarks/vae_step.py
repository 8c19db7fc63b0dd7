"""One gradient of a VAE with 200 Bernoulli latents: Spanax beside hand-written JAX and Storchastic.

scikit-learn's digits, batch 100, linear encoder and decoder, float32. Four decoder evaluations an example in each
estimator: leave-one-out over 4 samples, or DisARM with 2 pairs. All have the same parameters and the same data, and
the same gradient in the mean: that is asserted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax
from sklearn.datasets import load_digits

import spanax as sx
from benchmarks import _timing

BATCH, LATENTS, SAMPLES, PAIRS = 100, 200, 4, 2
Params = dict[str, jax.Array]


def problem() -> tuple[Params, jax.Array]:
    """Parameters and one batch of images, (100, 64) in [0, 1]."""
    x = np.asarray(load_digits(return_X_y=True)[0][:BATCH] / 16, np.float32)
    rng = np.random.default_rng(0)
    shapes = {
        "encode": (x.shape[1], LATENTS),
        "encode_bias": (LATENTS,),
        "decode": (LATENTS, x.shape[1]),
        "decode_bias": (x.shape[1],),
    }
    return {k: jnp.asarray(0.1 * rng.standard_normal(s), jnp.float32) for k, s in shapes.items()}, jnp.asarray(x)


def encode(params: Params, x: jax.Array) -> jax.Array:
    return x @ params["encode"] + params["encode_bias"]


def reconstruction(params: Params, z: jax.Array, x: jax.Array) -> jax.Array:
    """-log p(x | z)."""
    logits = z @ params["decode"] + params["decode_bias"]
    return jnp.sum(jax.nn.softplus(logits) - x * logits, -1)


def divergence(logits: jax.Array) -> jax.Array:
    """KL(q(z | x) || Bernoulli(1/2))."""
    up, down = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return jnp.sum(jnp.exp(up) * up + jnp.exp(down) * down + jnp.log(2.0), -1)


# -- hand-written ---------------------------------------------------------------------------------------------------


def _leave_one_out(params, x, logits, u):
    """Surrogate, (...), for uniforms u, (..., samples, latents): one forward pass, advantages stopped."""
    logits = logits[..., None, :]
    z = (u < lax.stop_gradient(jax.nn.sigmoid(logits))).astype(x.dtype)
    cost = reconstruction(params, z, x[..., None, :])
    advantage = lax.stop_gradient(cost - jnp.mean(cost, -1, keepdims=True)) * (SAMPLES / (SAMPLES - 1))
    score = jnp.sum(z * logits, -1) - jnp.sum(jax.nn.softplus(logits), -1)
    return jnp.mean(cost + advantage * (score - lax.stop_gradient(score)), -1)


def hand_leave_one_out(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    """The whole batch in one block, one key."""
    logits = encode(params, x)
    u = jax.random.uniform(key, (len(x), SAMPLES, LATENTS))
    return jnp.mean(_leave_one_out(params, x, logits, u) + divergence(logits))


def hand_leave_one_out_vmap(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    """One example, vmapped, a key for each."""

    def one(x, key):
        logits = encode(params, x)
        return _leave_one_out(params, x, logits, jax.random.uniform(key, (SAMPLES, LATENTS))) + divergence(logits)

    return jnp.mean(jax.vmap(one)(x, jax.random.split(key, len(x))))


def _disarm(params, x, logits, u):
    """Surrogate, (...), of DisARM (Dong, Mnih and Tucker 2020, eq. 6) for uniforms u, (..., pairs, latents)."""
    logits = logits[..., None, :]
    threshold = lax.stop_gradient(jax.nn.sigmoid(-logits))
    z, antithetic = (u > threshold).astype(x.dtype), (1 - u > threshold).astype(x.dtype)
    costs = reconstruction(params, jnp.stack([z, antithetic], -2), x[..., None, None, :])  # (..., pairs, 2)
    slope = 0.5 * (costs[..., 0] - costs[..., 1])[..., None] * (z - antithetic) * jax.nn.sigmoid(jnp.abs(logits))
    linear = jnp.sum(lax.stop_gradient(slope) * (logits - lax.stop_gradient(logits)), -1)
    return jnp.mean(jnp.mean(costs, -1) + linear, -1)


def hand_disarm(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    logits = encode(params, x)
    u = jax.random.uniform(key, (len(x), PAIRS, LATENTS))
    return jnp.mean(_disarm(params, x, logits, u) + divergence(logits))


def hand_disarm_vmap(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    def one(x, key):
        logits = encode(params, x)
        return _disarm(params, x, logits, jax.random.uniform(key, (PAIRS, LATENTS))) + divergence(logits)

    return jnp.mean(jax.vmap(one)(x, jax.random.split(key, len(x))))


# -- Spanax -----------------------------------------------------------------------------------------------------------


def _loss(params, x, *, key, via):
    logits = encode(params, x)
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), via=via, name="z")
    return reconstruction(params, z, x) + divergence(logits)


def _spanax(via, samples, params, x, key):
    objective = sx.expectation(functools.partial(_loss, via=via), samples=samples)
    return jnp.mean(jax.vmap(objective, in_axes=(None, 0))(params, x, key=jax.random.split(key, len(x))))


def spanax_leave_one_out(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    return _spanax(sx.ScoreFunction(), SAMPLES, params, x, key)


def spanax_disarm(params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
    return _spanax(sx.DisARM(pairs=PAIRS), 1, params, x, key)


# -- the comparison -----------------------------------------------------------------------------------------------

OBJECTIVES: dict[str, Callable[[Params, jax.Array, jax.Array], jax.Array]] = {
    "LOO hand-written": hand_leave_one_out,
    "LOO hand-written vmap": hand_leave_one_out_vmap,
    "LOO Spanax": spanax_leave_one_out,
    "DisARM hand-written": hand_disarm,
    "DisARM hand-written vmap": hand_disarm_vmap,
    "DisARM Spanax": spanax_disarm,
}
STORCHASTIC = "LOO Storchastic"


def timed_call(objective: Callable, params: Params, x: jax.Array) -> Callable[[], object]:
    step, key = jax.jit(jax.value_and_grad(objective)), jax.random.key(1)
    return lambda: jax.block_until_ready(step(params, x, key))


def gradients(objective: Callable, params: Params, x: jax.Array, n: int) -> np.ndarray:
    """Gradients for n keys, encoder first: (n, coordinates)."""

    def one(key):
        g = jax.grad(objective)(params, x, key)
        return jnp.concatenate([g[k].ravel() for k in params])

    return np.asarray(jax.jit(lambda keys: lax.map(one, keys))(jax.random.split(jax.random.key(2), n)))


def _storchastic(params, x):
    """The step of Storchastic, or None where it is not installed."""
    try:
        from benchmarks import _storchastic
    except ImportError as error:
        print(f"Storchastic is left out: {error}\n")
        return None
    return _storchastic.VAE({k: np.asarray(v) for k, v in params.items()}, np.asarray(x), SAMPLES)


def _threads(model, threads):
    def call():
        model.threads(threads)
        model.step()

    return call


def moments(params: Params, x: jax.Array, model, keys: int) -> dict[str, np.ndarray]:
    found = {}
    for name, objective in OBJECTIVES.items():
        stage = f"gradients of {name} for {keys} keys"
        _timing.stage(stage)
        found[name] = gradients(objective, params, x, keys)
    if model is not None:
        _timing.stage(f"gradients of {STORCHASTIC} for {keys} seeds")
        found[STORCHASTIC] = np.stack([model.gradient(seed) for seed in range(keys)])
    return found


def main() -> None:
    options = _timing.parser(__doc__, repeats=41)
    options.add_argument("--keys", type=int, default=400, help="gradients for the moments (default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "numpyro", "numpy", "scikit-learn", "torch", "storchastic")

    params, x = problem()
    model = _storchastic(params, x)
    found = moments(params, x, model, args.keys)
    encoder = params["encode"].size + params["encode_bias"].size
    reference = found["LOO hand-written"]
    distance = {k: _timing.assert_agree(k, g, reference) for k, g in found.items() if g is not reference}

    calls = {name: timed_call(objective, params, x) for name, objective in OBJECTIVES.items()}
    storchastic = []
    if model is not None:
        storchastic = [f"{STORCHASTIC}, {n} thread{'s'[: n > 1]}" for n in sorted({1, model.default_threads})]
        calls |= {name: _threads(model, int(name.split()[-2])) for name in storchastic}
    seconds = _timing.interleaved(calls, repeats=args.repeats)

    best = {
        kind: _timing.fastest(seconds, [n for n in seconds if n.startswith(f"{kind} hand")])
        for kind in ("LOO", "DisARM")
    }
    rows = []
    for name in seconds:
        plain = name.split(", ")[0] if name.startswith(STORCHASTIC) else name
        trace = f"{_timing.trace_of_covariance(found[plain][:, :encoder]):.1f}"
        far = "-" if plain not in distance else f"{distance[plain]:.2f}"
        rows.append([name, *_timing.times(seconds, name, best[name.split()[0]], 1e-3), trace, far])
    _timing.table(["gradient", *_timing.times_head("ms"), "trace", "mean"], rows)
    print(
        "\nratio: time by that of the fastest hand-written one of its kind. trace: of the\n"
        "covariance of the encoder's gradient. mean: squared distance of the mean gradient\n"
        f"from the first line's, by what {args.keys} keys each let expect (1: they agree).\n"
    )
    for kind in best:
        for rival in (f"{kind} hand-written", f"{kind} hand-written vmap"):
            _timing.verdict(f"{kind} Spanax by {rival}", _timing.ratio(seconds, f"{kind} Spanax", rival), 1.05)
    if storchastic:
        fastest = _timing.fastest(seconds, storchastic)
        _timing.verdict("LOO: Storchastic by Spanax", _timing.ratio(seconds, fastest, "LOO Spanax"), 4, at_least=True)


if __name__ == "__main__":
    main()
