"""A variational autoencoder for binary images, with Bernoulli or Gaussian latents (Kingma and Welling 2014)."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.nn import log_sigmoid, sigmoid
from jaxtyping import Array, Float, Key

import spanax as sx

PIXELS, HIDDEN, LATENTS = 64, 200, 200


class Latents(eqx.Module):
    """A family of posteriors q(z|x) over 200 latents, and its fixed prior p(z)."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int:
        """How many numbers the encoder gives."""

    @abc.abstractmethod
    def posterior(self, encoded: Float[Array, " outputs"]) -> dist.Distribution:
        """q(z|x)."""

    @abc.abstractmethod
    def kl(self, encoded: Float[Array, " outputs"]) -> Float[Array, ""]:
        """KL(q(z|x) || p(z)) in nats, exactly."""

    @abc.abstractmethod
    def code(self, z: Float[Array, "200"]) -> Float[Array, "200"]:
        """What the decoder reads of a draw: it has mean 0 under the prior, which starts the training off faster."""


class BernoulliLatents(Latents):
    """q is Bernoulli with the encoder's logits; p is Bernoulli(1/2)."""

    @property
    def outputs(self):
        return LATENTS

    def posterior(self, encoded):
        return dist.Bernoulli(logits=encoded).to_event(1)

    def kl(self, encoded):
        # log q and log(1-q) by log_sigmoid of the logit: the logarithm of a rounded q would be -inf.
        q = sigmoid(encoded)
        return jnp.sum(jnp.log(2.0) + q * log_sigmoid(encoded) + (1 - q) * log_sigmoid(-encoded))

    def code(self, z):
        return 2 * z - 1


class GaussianLatents(Latents):
    """q is Normal with the encoder's means and log standard deviations; p is Normal(0, 1)."""

    @property
    def outputs(self):
        return 2 * LATENTS

    def posterior(self, encoded):
        mean, log_scale = jnp.split(encoded, 2)
        return dist.Normal(mean, jnp.exp(log_scale)).to_event(1)

    def kl(self, encoded):
        mean, log_scale = jnp.split(encoded, 2)
        return jnp.sum(0.5 * (mean**2 + jnp.exp(2 * log_scale) - 1) - log_scale)

    def code(self, z):
        return z


class VAE(eqx.Module):
    """Encoder and decoder, each with one hidden layer of 200 rectified units."""

    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP
    latents: Latents

    def __init__(self, latents: Latents, *, key: Key[Array, ""]):
        encoder, decoder = jax.random.split(key)
        self.encoder = eqx.nn.MLP(PIXELS, latents.outputs, HIDDEN, depth=1, key=encoder)
        self.decoder = eqx.nn.MLP(LATENTS, PIXELS, HIDDEN, depth=1, key=decoder)
        self.latents = latents


def negative_elbo(
    model: VAE, image: Float[Array, "64"], *, via: sx.bridges.Drawing, key: Key[Array, ""]
) -> Float[Array, ""]:
    """-log p(x|z) + KL(q(z|x) || p(z)) in nats, for one draw z ~ q(z|x), whose gradient goes `via` the bridge."""
    encoded = model.encoder(image)
    # The one gap of the model: everything else is differentiated as it stands.
    z = sx.sample(key, model.latents.posterior(encoded), via=via, name="z")
    # The KL is exact, so that only the likelihood's gradient crosses the draw.
    return model.latents.kl(encoded) - _log_likelihood(model, z, image)


def elbos(model: VAE, images: Float[Array, "n 64"], *, draws: int, key: Key[Array, ""]) -> Float[Array, " n"]:
    """The ELBO of each image in nats, the mean over `draws` draws from q(z|x) itself: no relaxation, no bridge."""

    def one(image, key):
        encoded = model.encoder(image)
        keys = jax.random.split(key, draws)
        # True draws, whatever the bridge: a relaxed one would flatter the bridges that relax.
        likelihoods = jax.vmap(lambda key: _log_likelihood(model, _draw(model, encoded, key), image))(keys)
        return jnp.mean(likelihoods) - model.latents.kl(encoded)

    return jax.vmap(one)(images, jax.random.split(key, len(images)))


def reconstruct(model: VAE, images: Float[Array, "n 64"], *, key: Key[Array, ""]) -> Float[Array, "n 64"]:
    """The decoder's pixel probabilities for one draw z ~ q(z|x) of each image."""

    def one(image, key):
        return sigmoid(model.decoder(model.latents.code(_draw(model, model.encoder(image), key))))

    return jax.vmap(one)(images, jax.random.split(key, len(images)))


def _draw(model: VAE, encoded: Float[Array, " outputs"], key: Key[Array, ""]) -> Float[Array, "200"]:
    return jnp.asarray(
        model.latents.posterior(encoded).sample(key), encoded.dtype
    )  # NumPyro's Bernoulli draws integers


def _log_likelihood(model: VAE, z: Float[Array, "200"], image: Float[Array, "64"]) -> Float[Array, ""]:
    # Cross-entropy in logits, which is stable where a probability rounds to 0 or 1.
    logits = model.decoder(model.latents.code(z))
    return jnp.sum(image * log_sigmoid(logits) + (1 - image) * log_sigmoid(-logits))
