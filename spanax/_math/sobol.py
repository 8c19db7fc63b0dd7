"""Sobol points with a random digital shift, in up to 64 dimensions.

The points are SciPy's, with the direction numbers of Joe and Kuo 2008 (SIAM J. Sci. Comput. 30, 2635). A digital shift adds the
same random bits to all points (modulo 2, digit by digit): each point by itself is then uniform, which makes estimates unbiased,
and the points keep their even spread (L'Ecuyer and Lemieux 2002, section 4).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

_BITS = 32
# SciPy has 21,201. In many dimensions a few hundred points are spread no better than independent ones, and above 10 they are not
# recommended (see `Smoothing`): an error that names a better choice serves the user more.
DIMENSIONS = 64


@functools.cache
def sobol_integers(count: int, size: int) -> np.ndarray:
    """The first `count` Sobol points of `size` dimensions (the origin first), as fractions of 2^32."""
    # Imported here: `scipy.stats` takes longer to import than this package.
    from scipy.stats import qmc

    # SciPy warns of a count that is not a power of 2; the points are a sequence, so that the first ones of more are the same.
    engine = qmc.Sobol(max(size, 1), scramble=False, bits=_BITS)
    points = engine.random_base2(max(count - 1, 0).bit_length())[:count, :size]
    return (points * 2.0**_BITS).astype(np.uint32)


def shifted_sobol(key: Key[Array, ""], count: int, size: int, dtype: jnp.dtype) -> Float[Array, "count size"]:
    """`count` Sobol points under one random digital shift, through the normal quantile function.

    Each point by itself is standard normal (to the resolution of 2^-23 in float32, 2^-32 in float64); the points
    are not independent. `size` is at most `DIMENSIONS`.
    """
    # The shift is drawn from the JAX key, so that it works under jit and vmap; SciPy's own scrambling would need a NumPy seed.
    shift = jax.random.bits(key, (size,), jnp.uint32)
    integers = jnp.asarray(sobol_integers(count, size)) ^ shift[None, :]
    # The middle of each cell, never 0 or 1; a float holds the half beside one bit less than its significand has.
    bits = min(_BITS, jnp.finfo(dtype).nmant)
    return jax.scipy.special.ndtri(((integers >> (_BITS - bits)).astype(dtype) + 0.5) / 2.0**bits)
