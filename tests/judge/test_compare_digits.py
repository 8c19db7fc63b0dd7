"""The ranking on the digits VAE: a baseline divides the variance of the encoder's gradient by about 140."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax.judge.compare import compare

IMAGES, LATENTS, SAMPLES = 20, 200, 4


def negative_elbo(encoder, decoder, x, *, key, via):
    logits = x @ encoder
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), via=via)
    up, down = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    divergence = jnp.sum(jnp.exp(up) * up + jnp.exp(down) * down + jnp.log(2.0))
    pixels = z @ decoder
    return divergence + jnp.sum(jax.nn.softplus(pixels) - x * pixels)


def loss(via, samples):
    def batch(encoder, decoder, x, *, key):
        def one(x, key):
            return sx.expectation(lambda *a, key: negative_elbo(*a, key=key, via=via), samples=samples)(
                encoder, decoder, x, key=key
            )

        return jnp.mean(jax.vmap(one)(x, jax.random.split(key, len(x))))

    return batch


@pytest.mark.slow
def test_the_ranking_of_the_digits_vae():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    x = jnp.asarray(load_digits(return_X_y=True)[0][:IMAGES] / 16, jnp.float32)
    rng = np.random.default_rng(0)
    encoder, decoder = (jnp.asarray(0.2 * rng.standard_normal(s), jnp.float32) for s in ((64, LATENTS), (LATENTS, 64)))
    candidates = {
        "score function": loss(sx.ScoreFunction(baseline=None), SAMPLES),
        "leave-one-out": loss(sx.ScoreFunction(), SAMPLES),
        "DisARM": loss(sx.DisARM(SAMPLES // 2), 1),
    }
    found = compare(candidates["leave-one-out"], encoder, decoder, x, key=jax.random.key(0), vias=candidates, draws=100)
    variance = {row.label: row.variance for row in found.rows}
    assert variance["leave-one-out"] < variance["DisARM"] < variance["score function"]
    # 9220/65.3 = 141 and 92.8/65.3 = 1.4 there, at other parameters; ratios of 2 and more between two such are no news
    assert 141 / 2 < variance["score function"] / variance["leave-one-out"] < 141 * 2
    assert 1.2 < variance["DisARM"] / variance["leave-one-out"] < 1.7
    assert found.rows[-1].label == "score function"
