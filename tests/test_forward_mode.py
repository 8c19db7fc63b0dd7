"""Programs of few numbers, differentiated forwards: under vmap, twice, over numbers of which some are the same for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax._forward_mode import by_forward_mode


def _power(x, y):
    """x ** 3 y, by a loop that reverse mode cannot cross."""
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, y))[1]


@pytest.fixture
def program():
    f = by_forward_mode(lambda x, y: ({"power": _power(x, y)}, x > 0), 2, lambda aux: None)
    return lambda x, y: f(x, y)[0]["power"]


def test_derivatives_of_every_order(program, x64):
    at = jnp.array(1.3), jnp.array(0.7)
    for derivative in (
        lambda f: f,
        lambda f: jax.grad(f, (0, 1)),
        lambda f: jax.jacfwd(f, 1),
        lambda f: jax.hessian(f, (0, 1)),
    ):
        got, want = derivative(program)(*at), derivative(lambda x, y: x**3 * y)(*at)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)


@pytest.mark.parametrize(
    "axes", [((0, None), (None, 0)), ((None, 0), (0, None)), ((0, 0), (0, None)), ((None, 0), (0, 0))]
)
def test_two_axes(program, axes, x64):
    outer, inner = axes
    shapes = [tuple(n for n, a in ((4, outer[i]), (3, inner[i])) if a is not None) for i in range(2)]
    at = [jnp.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape) for shape in shapes]

    def twice(f):
        return jax.vmap(jax.vmap(f, inner), outer)

    for derivative in (lambda f: f, lambda f: jax.grad(f, (0, 1))):
        got, want = (jax.jit(twice(derivative(f)))(*at) for f in (program, lambda x, y: x**3 * y))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)
