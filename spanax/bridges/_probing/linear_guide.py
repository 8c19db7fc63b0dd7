"""A linear guide as a control variate of smoothing: unbiased whatever the guide is.

For the linear function guide . x the estimate from direction u is (u . guide) u, and its mean, guide, is known: c times their
difference may be subtracted from any estimate, for any c that does not depend on u.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# More folds give no better coefficients, and each costs its products.
_MOST_FOLDS = 16


def _dot(a: Array | np.ndarray, b: Array) -> Array:
    # A GPU's default rounds the directions to 10 bits, which would bias the estimate.
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def gradient(change: Float[Array, "pairs"], u: Float[Array, "pairs size"]) -> Float[Array, "size"]:
    """(1/K) sum_k change_k u_k."""
    return _dot(change, u) / len(change)


def guided_gradient(
    change: Float[Array, "pairs"], u: Float[Array, "pairs size"], guide: Float[Array, "size"], blocks: np.ndarray
) -> Float[Array, "size"]:
    """(1/K) sum_k {change_k u_k - c_k [(u_k . guide) u_k - guide]}, with 0 <= c_k <= 1 fitted on the other folds.

    `blocks[k]` is the number of the independent block that u_k belongs to, from 0 upwards; a fold is a block, or several.
    The bracket has mean zero for a standard normal u_k, and c_k does not depend on u_k's block: the mean is that of
    `gradient`, for every guide that does not depend on u. With one block there is nothing to fit on, and c = 0.
    """
    largest = jnp.max(jnp.abs(guide))
    # In units of its largest number: squares of a guide overflow and underflow sooner than the guide.
    direction = guide / jnp.where(largest > 0, largest, 1)
    along = _dot(u, direction)
    c = _coefficients(change, u, direction, along, largest, _folds(blocks))
    return gradient(change - c * along, u) + jnp.mean(c) * direction


def _folds(blocks: np.ndarray) -> np.ndarray:
    count = int(blocks[-1]) + 1
    return blocks if count <= _MOST_FOLDS else blocks * _MOST_FOLDS // count


def _coefficients(change, u, direction, along, largest, folds: np.ndarray) -> Float[Array, "pairs"]:
    """For each pair clip(sum_j (F_j - mean F) . L_j / sum_j |L_j|^2, 0, largest), over the pairs j of the other folds.

    F_j = change_j u_j, L_j = (u_j . direction) u_j - direction.
    """
    count = int(folds[-1]) + 1
    if count == 1:
        return jnp.zeros_like(change)
    dtype = u.dtype
    member = (np.arange(count)[:, None] == folds).astype(dtype)
    # Sums over the other folds, never a total less one's own: what cancels there would still depend on it by rounding.
    others = (1 - np.eye(count)).astype(dtype)
    left = (len(folds) - member.sum(1)).astype(dtype)
    square = jnp.sum(u * u, axis=-1)
    FL = _dot(member, change * along * (square - 1))
    LL = _dot(member, along**2 * (square - 2) + jnp.sum(direction**2))
    F = _dot(others, _dot(member, change[:, None] * u))
    L = _dot(others, _dot(member, along[:, None] * u)) - left[:, None] * direction[None]
    fitted = (_dot(others, FL) - jnp.sum(F * L, axis=-1) / left) / jnp.where(largest > 0, _dot(others, LL), 1)
    return jnp.where(largest > 0, jnp.clip(fitted, 0, largest), largest)[folds]
