"""The draws that a bridge is tried on, with their exact expectations: by enumeration, or by quadrature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Numbers = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Family:
    """A draw with parameters theta. The cost sees it as m weights: Bernoulli elements, one-hot categories, or the number itself.

    `outcomes(theta)` are all weights, (n, m), and their probabilities, (n,); `shape`: of a draw; `along`: what each weight adds
    to the number u that the cost depends on. `other`: the same draw in another shape, `other_shape`.
    """

    name: str
    make: Callable[[Array], Any]
    weights: Callable[[Array], Float[Array, " m"]]
    outcomes: Callable[[Array], tuple[Float[Array, "n m"], Float[Array, " n"]]]
    theta: Numbers
    shape: tuple[int, ...]
    along: Numbers
    extremes: tuple[Numbers, ...]
    other: Callable[[Array], Any]
    other_shape: tuple[int, ...]

    @property
    def discrete(self) -> bool:
        return self.name != "Normal"

    def u(self, z: Array, dtype: Any) -> Float[Array, ""]:
        return jnp.sum(self.weights(z).astype(dtype) * jnp.asarray(self.along, dtype))


def _bernoulli(theta):
    import numpyro.distributions as dist

    return dist.Bernoulli(logits=theta).to_event(1)


def _one_bernoulli(theta):
    import numpyro.distributions as dist

    return dist.Bernoulli(logits=theta[0])


def _categorical(theta):
    import numpyro.distributions as dist

    return dist.Categorical(logits=theta.reshape(2, 3))


def _one_categorical(theta):
    import numpyro.distributions as dist

    return dist.Categorical(logits=theta[:3])


def _normal(theta):
    import numpyro.distributions as dist

    return dist.Normal(theta[0], jnp.exp(theta[1]))


def _normals(theta):
    import numpyro.distributions as dist

    return dist.Normal(theta[:1, None], jnp.exp(theta)[None])


def _bernoulli_outcomes(theta):
    z = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], theta.dtype)
    # Enumerated by hand, without the distribution's own log_prob, which bridges use: the reference is independent.
    p = jax.nn.sigmoid(theta)[None]
    return z, jnp.prod(jnp.where(z > 0, p, 1 - p), axis=1)


def _categorical_outcomes(theta):
    """Two independent draws: one in the batch must not see the other."""
    one, p = jnp.eye(3, dtype=theta.dtype), jax.nn.softmax(theta.reshape(2, 3))
    both = jnp.concatenate([jnp.repeat(one, 3, 0), jnp.tile(one, (3, 1))], axis=1)
    return both, (p[0][:, None] * p[1][None]).ravel()


def _normal_outcomes(theta):
    """Gauss-Hermite: exact to rounding for the costs of this file, at the parameters of this file."""
    # 48 nodes: the costs are sines of a few units of the standard deviation.
    points, weights = np.polynomial.hermite_e.hermegauss(48)
    z = theta[0] + jnp.exp(theta[1]) * jnp.asarray(points, theta.dtype)
    return z[:, None], jnp.asarray(weights / weights.sum(), theta.dtype)


def _one_hot(z):
    return jnp.ravel(z if z.ndim == 2 else jax.nn.one_hot(z, 3))


BERNOULLI = Family(
    "Bernoulli",
    _bernoulli,
    lambda z: z,
    _bernoulli_outcomes,
    (0.4, -0.7),
    (2,),
    (1.0, -0.6),
    ((50.0, -50.0), (-50.0, 0.0), (0.0, 0.0)),
    _one_bernoulli,
    (),
)
CATEGORICAL = Family(
    "Categorical",
    _categorical,
    _one_hot,
    _categorical_outcomes,
    (0.3, -0.4, 0.1, -0.2, 0.5, 0.0),
    (2,),
    (0.2, -0.9, 0.8, 0.3, -0.5, 0.6),
    ((50.0, -50.0, 0.0, -50.0, -50.0, 0.0), (0.0,) * 6),
    _one_categorical,
    (),
)
NORMAL = Family(
    "Normal",
    _normal,
    lambda z: z[None],
    _normal_outcomes,
    (0.3, -0.4),
    (),
    (0.8,),
    ((0.3, float(np.log(1e-3))), (1e3, float(np.log(1e3)))),
    _normals,
    (1, 2),
)
FAMILIES = (BERNOULLI, CATEGORICAL, NORMAL)

# The linear part shows direction and scale; the curved one is neither even nor odd, so that no symmetry cancels an error.
LINEAR, CURVED = (1.0, 0.0), (0.5, 1.0)  # what of the cost: the linear part, the rest


def cost(u: Float[Array, ""], theta: Float[Array, " d"], mix: Float[Array, " 2"]) -> Float[Array, ""]:
    """Linear in u, or neither linear nor quadratic and with a part that depends on theta as well, without the draw."""
    # The last term depends on theta and not on the draw: its derivative is not to be bridged, nor to be lost.
    curved = jnp.sin(2 * u + 0.4) + 0.5 * u * jnp.sin(theta[1]) + 0.3 * jnp.cos(theta[0])
    return mix[0] * u + mix[1] * curved


def joint(u: Float[Array, ""], v: Float[Array, ""], theta: Float[Array, " d"]) -> Float[Array, ""]:
    """A cost of two draws."""
    return jnp.sin(u + 2 * v + 0.3) + u * v + 0.2 * jnp.sin(theta[0]) * v


def later(theta: Float[Array, " d"], u: Float[Array, ""]) -> Float[Array, " d"]:
    """The parameters of a second draw, after a first one."""
    return theta + 0.5 * jnp.tanh(u)


def _u(family, weights):
    return weights @ jnp.asarray(family.along, weights.dtype)


def expected_cost(family: Family, theta, mix) -> Float[Array, ""]:
    # A plain sum: JAX's derivative of it is the exact one, with no bridge in it.
    weights, p = family.outcomes(theta)
    return jnp.sum(p * jax.vmap(cost, (0, None, None))(_u(family, weights), theta, mix))


def expected_joint(family: Family, theta, second: Callable[[Array, Array], Array]) -> Float[Array, ""]:
    """Of two draws, the second with the parameters `second(theta, u)`."""
    weights, p = family.outcomes(theta)

    def rest(u):
        # An expectation inside an expectation: the second draw's law depends on the first.
        more, q = family.outcomes(second(theta, u))
        return jnp.sum(q * jax.vmap(joint, (None, 0, None))(u, _u(family, more), theta))

    return jnp.sum(p * jax.vmap(rest)(_u(family, weights)))
