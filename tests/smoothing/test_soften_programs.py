"""Whole programs: the softened gradient against that of the Gaussian-smoothed program, by quadrature over one input.

Softness is the smoothing's sigma. The two differ: softening puts independent noise on every operation's own input, smoothing one
draw on the argument. The bounds say how far the agreement goes, and the bouncing ball that there may be none.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spanax.smoothing.soften import softened

TABLE = np.array([1.0, -2.0, 3.0])


def thermostat(x):
    """The mean temperature of 60 steps; the heater switches half a degree below and above x."""

    def step(state, _):
        heat, on = state
        on = lax.cond(on, lambda heat: heat < x + 0.5, lambda heat: heat < x - 0.5, heat)
        heat = heat + 0.1 * (jnp.where(on, 6.0, 0.0) - 0.1 * (heat - 10.0))
        return (heat, on), heat

    return jnp.mean(lax.scan(step, (15.0, False), length=60)[1])


def threshold(x):
    return jnp.where(x > 0.2, 1.0, 0.0) + jnp.floor(3 * x) + 0.3 * x


def argmax_table(x):
    return jnp.asarray(TABLE)[jnp.argmax(jnp.stack([x, jnp.asarray(0.5), -x]))]


def crossings(x):
    """How often a sampled wave crosses the threshold: the state is a boolean."""

    def step(above, t):
        now = jnp.sin(t) + x > 0
        return now, (above ^ now).astype(x.dtype)

    return jnp.sum(lax.scan(step, jnp.array(False), 1.3 * jnp.arange(12.0))[1])


def ball(x):
    """The height after 40 steps, dropped from x."""

    def step(state, _):
        height, speed = state
        height, speed = height + 0.05 * speed, speed - 0.49
        return lax.cond(height < 0, lambda: (-height, -0.8 * speed), lambda: (height, speed)), None

    return lax.scan(step, (x, jnp.zeros_like(x)), length=40)[0][0]


# program, from, to, sigma; the least cosine and the largest relative error that are asked of its gradient at 11 points
PROGRAMS = {
    "thermostat": (thermostat, 18.0, 22.0, 0.5, 0.999, 0.06),
    "threshold": (threshold, -1.0, 1.0, 0.3, 0.97, 0.22),
    "argmax_table": (argmax_table, -1.0, 1.0, 0.2, 0.98, 0.22),
    "crossings": (crossings, -1.0, 1.0, 0.2, 0.97, 0.22),
}


def agreement(f, start, stop, sigma, straight_through=False):
    """Cosine and relative error of the softened gradient at 11 points."""
    z = np.linspace(-8, 8, 4001)
    weights = np.exp(-z * z / 2) / np.sum(np.exp(-z * z / 2))
    xs = np.linspace(start, stop, 11)
    values = np.asarray(jax.jit(jax.vmap(f))(jnp.asarray((xs[:, None] + sigma * z).ravel()))).reshape(11, -1)
    true = values @ (weights * z) / sigma
    found = np.asarray(jax.jit(jax.vmap(jax.grad(softened(f, sigma, straight_through))))(jnp.asarray(xs)))
    cosine = found @ true / np.linalg.norm(found) / np.linalg.norm(true)
    return cosine, np.linalg.norm(found - true) / np.linalg.norm(true)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", PROGRAMS)
def test_agrees_with_the_smoothed_program(name, x64):
    *program, least, largest = PROGRAMS[name]
    cosine, error = agreement(*program)
    assert cosine > least and error < largest
    assert softened(program[0], program[3]).kept_hard(0.1) == ()
    assert jax.grad(program[0])(0.1) in (0.0, 0.3)  # what automatic differentiation sees: nothing of the jumps


def test_straight_through_of_a_loop(x64):
    assert agreement(*PROGRAMS["thermostat"][:4], straight_through=True)[0] > 0.99


def test_the_ball_misleads(x64):
    """States that are mixed in a loop: the docstring's example of a softened gradient with no use at all."""
    cosine, error = agreement(ball, 0.8, 1.6, 0.1)
    assert cosine < 0.5 and error > 0.9
