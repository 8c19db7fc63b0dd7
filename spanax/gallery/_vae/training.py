"""Training one VAE through one bridge, in chunks, so that it can be watched, interrupted and judged."""

import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

import spanax as sx

from ..._pytree import PyTree
from ..names import VaeBridge
from .digits import Digits
from .model import VAE, BernoulliLatents, GaussianLatents, Latents, elbos, negative_elbo

BATCH = 100
HELD_OUT_DRAWS = 16
OPTIMISER = optax.adam(2e-3)


@dataclass(frozen=True)
class Setup:
    """A family of latents, the bridge at their draw, and the replicates that `expectation` averages."""

    latents: Latents
    via: sx.bridges.Drawing
    replicates: int


def setup(name: VaeBridge, samples: int) -> Setup:
    """The bridge of that name, given `samples` (an even number) evaluations of the decoder for each image."""
    bernoulli = functools.partial(Setup, BernoulliLatents())
    match name:
        case VaeBridge.SCORE_FUNCTION:
            return bernoulli(sx.ScoreFunction(baseline=None), samples)
        case VaeBridge.MOVING_AVERAGE:
            average = sx.MovingAverage(0.9, jnp.zeros(()), jnp.zeros(()))
            return bernoulli(sx.ScoreFunction(baseline=average), samples)
        case VaeBridge.LEAVE_ONE_OUT:
            return bernoulli(sx.ScoreFunction(), samples)
        case VaeBridge.DISARM:
            # A pair takes two evaluations: the budget stays the same.
            return bernoulli(sx.DisARM(pairs=samples // 2), 1)
        case VaeBridge.GUMBEL_SOFTMAX:
            return bernoulli(sx.GumbelSoftmax(temperature=0.5), samples)
        case VaeBridge.STRAIGHT_THROUGH:
            return bernoulli(sx.StraightThrough(), samples)
        case VaeBridge.REINMAX:
            return bernoulli(sx.ReinMax(), samples)
        case VaeBridge.GAUSSIAN:
            return Setup(GaussianLatents(), sx.Pathwise(), samples)


class State(eqx.Module):
    """What one step changes. The bridge is here because a moving average learns too."""

    model: VAE
    optimiser: optax.OptState
    via: sx.bridges.Drawing
    key: Key[Array, ""]


@dataclass
class Training:
    """One VAE in training; `state`, `steps`, `curve`, `curve_se` and `step_ms` grow with each chunk."""

    name: VaeBridge
    setup: Setup
    data: Digits
    seed: int
    state: State = field(init=False)
    steps: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    curve_se: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    compile_s: float = 0.0

    def __post_init__(self):
        # The same initial weights and minibatches for each bridge, so that curves differ by the bridge only.
        init, steps = jax.random.split(jax.random.key(self.seed))
        model = VAE(self.setup.latents, key=init)
        optimiser = OPTIMISER.init(eqx.filter(model, eqx.is_inexact_array))
        self.state = State(model, optimiser, self.setup.via, steps)

    def chunks(self, steps: int, size: int) -> Iterator[float]:
        """Trains for `steps` steps and yields the held-out ELBO after each `size` of them.

        One compiled program runs chunks of every length, so a chunk of no steps compiles it.
        """
        # No step is taken, and everything compiled.
        self.compile_s, self.state = self._advance(0)
        while self.steps < steps:
            count = min(size, steps - self.steps)
            seconds, state = self._advance(count)
            elbo, error = mean_and_error(_held_out_elbos(state.model, self.data, self.seed))
            # Ctrl-C can strike anywhere above, and then this chunk was never run: the state and its figures change
            # together.
            self.state = state
            self.step_ms.append(1e3 * seconds / count)
            self.curve.append((self.steps + count, elbo))
            self.curve_se.append(error)
            self.steps += count
            yield elbo

    def _advance(self, count: int) -> tuple[float, State]:
        """The state after `count` more steps, and the seconds that they took."""
        start = time.perf_counter()
        state = _train(self.state, self.data.train, jnp.asarray(count), self.setup.replicates)
        # JAX returns before the steps are done.
        jax.block_until_ready(state)
        return time.perf_counter() - start, state

    def held_out_elbos(self) -> Float[np.ndarray, "297"]:
        """The ELBO of each held-out image in nats, from 16 true draws each; every call draws the same noise."""
        return _held_out_elbos(self.state.model, self.data, self.seed)

    def gradient_variance(self, repeats: int) -> float:
        """The trace of the covariance of the encoder's gradient, at the present parameters and one fixed minibatch."""
        # One fixed minibatch: the variance is that of the bridge, without that of the data.
        keys = jax.random.split(jax.random.key(self.seed), repeats)
        gradients = _encoder_gradients(self.state, self.data.train[:BATCH], keys, self.setup.replicates)
        return float(np.sum(np.var(np.asarray(gradients, np.float64), axis=0, ddof=1)))


def mean_and_error(elbos: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The mean over the images and its standard error."""
    return float(np.mean(elbos)), float(np.std(elbos, ddof=1) / math.sqrt(len(elbos)))


def chunk_size(steps: int) -> int:
    """About 40 chunks in a long training, at least 50 steps in each."""
    return max(50, math.ceil(steps / 40))


def _loss(model: VAE, images: Float[Array, "n 64"], via: sx.bridges.Drawing, key: Key[Array, ""], replicates: int):
    """The mean over images of an estimate of E[-ELBO] with the bridge's gradient."""
    estimate = sx.expectation(functools.partial(negative_elbo, via=via), samples=replicates)
    keys = jax.random.split(key, len(images))
    return jnp.mean(jax.vmap(lambda image, key: estimate(model, image, key=key))(images, keys))


def _step(state: State, images: Float[Array, "n 64"], replicates: int) -> State:
    following, choose, draw = jax.random.split(state.key, 3)
    # Without replacement: no image counts twice in a step.
    batch = images[jax.random.choice(choose, len(images), (BATCH,), replace=False)]
    loss, gradient = eqx.filter_value_and_grad(_loss)(state.model, batch, state.via, draw, replicates)
    updates, optimiser = OPTIMISER.update(gradient, state.optimiser)
    return State(eqx.apply_updates(state.model, updates), optimiser, _next_bridge(state.via, loss), following)


def _next_bridge(via: sx.bridges.Drawing, cost: Float[Array, ""]) -> sx.bridges.Drawing:
    """The bridge for the next step: a moving average takes in the cost of this one."""
    # Only a moving average learns; every other bridge goes on as it is.
    match via:
        case sx.ScoreFunction(baseline=sx.MovingAverage() as average):
            return sx.ScoreFunction(average.update(cost))
    return via


@eqx.filter_jit
def _train(state: State, images: Float[Array, "n 64"], count: Int[Array, ""], replicates: int) -> State:
    """`count` steps. It is an array, not an int, so that chunks of every length share one compilation."""
    # The loop carries arrays; functions and settings are the same in each iteration.
    arrays, static = eqx.partition(state, eqx.is_array)

    def body(_, arrays: PyTree):
        return eqx.filter(_step(eqx.combine(arrays, static), images, replicates), eqx.is_array)

    return eqx.combine(lax.fori_loop(0, count, body, arrays), static)


def _held_out_elbos(model: VAE, data: Digits, seed: int) -> Float[np.ndarray, "297"]:
    return np.asarray(_elbos(model, data.held_out, jax.random.key(seed)))


@eqx.filter_jit
def _elbos(model: VAE, images: Float[Array, "n 64"], key: Key[Array, ""]) -> Float[Array, " n"]:
    return elbos(model, images, draws=HELD_OUT_DRAWS, key=key)


@eqx.filter_jit
def _encoder_gradients(state: State, images, keys: Key[Array, " repeats"], replicates: int):
    """The gradient of `_loss` in the encoder for each key, flattened: one row a repeat."""

    def one(key):
        gradient = eqx.filter_grad(_loss)(state.model, images, state.via, key, replicates)
        return ravel_pytree(gradient.encoder)[0]

    # One after the other: all at once would hold as many models' gradients in memory.
    return lax.map(one, keys)
