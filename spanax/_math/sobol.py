"""Sobol points with a random digital shift, in up to 64 dimensions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

# For each dimension after the first "p:m_1,m_2,...": a primitive polynomial over GF(2), its bits as a number, and the
# first direction numbers. Joe and Kuo 2008 (SIAM J. Sci. Comput. 30, 2635), file new-joe-kuo-6.21201.
_TABLE = """
3:1 7:1,3 11:1,3,1 13:1,1,1 19:1,1,3,3 25:1,3,5,13 37:1,1,5,5,17 41:1,1,5,5,5 47:1,1,7,11,19 55:1,1,5,1,1
59:1,1,1,3,11 61:1,3,5,5,31 67:1,3,3,9,7,49 91:1,1,1,15,21,21 97:1,3,1,13,27,49 103:1,1,1,15,7,5
109:1,3,1,15,13,25 115:1,1,5,5,19,61 131:1,3,7,11,23,15,103 137:1,3,7,13,13,15,69 143:1,1,3,13,7,35,63
145:1,3,5,9,1,25,53 157:1,3,1,13,9,35,107 167:1,3,1,5,27,61,31 171:1,1,5,11,19,41,61 185:1,3,5,3,3,13,69
191:1,1,7,13,1,19,1 193:1,3,7,5,13,19,59 203:1,1,3,9,25,29,41 211:1,3,5,13,23,1,55 213:1,3,7,3,13,59,17
229:1,3,1,3,5,53,69 239:1,1,5,5,23,33,13 241:1,1,7,7,1,61,123 247:1,1,7,9,13,61,49 253:1,3,3,5,3,55,33
285:1,3,1,15,31,13,49,245 299:1,3,5,15,31,59,63,97 301:1,3,1,11,11,11,77,249 333:1,3,1,11,27,43,71,9
351:1,1,7,15,21,11,81,45 355:1,3,7,3,25,31,65,79 357:1,3,1,1,19,11,3,205 361:1,1,5,9,19,21,29,157
369:1,3,7,11,1,33,89,185 391:1,3,3,3,15,9,79,71 397:1,3,7,11,15,39,119,27 425:1,1,3,1,11,31,97,225
451:1,1,1,3,23,43,57,177 463:1,3,7,7,17,17,37,71 487:1,3,1,5,27,63,123,213 501:1,1,3,5,11,43,53,133
529:1,3,5,5,29,17,47,173,479 539:1,3,3,11,3,1,109,9,69 545:1,1,1,5,17,39,23,5,343
557:1,3,1,5,25,15,31,103,499 563:1,1,1,11,11,17,63,105,183 601:1,1,5,11,9,29,97,231,363
607:1,1,5,15,19,45,41,7,383 617:1,3,7,7,31,19,83,137,221 623:1,1,1,3,23,15,111,223,83
631:1,1,5,13,31,15,55,25,161 637:1,1,3,13,25,47,39,87,257
"""
_BITS = 32
DIMENSIONS = 1 + len(_TABLE.split())


@functools.cache
def _direction_numbers() -> np.ndarray:
    """One row for each dimension: 32 direction numbers as fractions of 2^32, most significant first."""
    rows = [np.ones(_BITS, np.uint64)]
    for entry in _TABLE.split():
        polynomial, start = entry.split(":")
        bits = [int(bit) for bit in f"{int(polynomial):b}"]
        m = [int(number) for number in start.split(",")]
        degree = len(m)
        for k in range(degree, _BITS):
            # m_k = 2 a_1 m_{k-1} xor 4 a_2 m_{k-2} xor ... xor 2^s m_{k-s} xor m_{k-s} (Joe and Kuo 2008, equation 2)
            new = m[k - degree]
            for j in range(1, degree + 1):
                new ^= bits[j] * (m[k - j] << j)
            m.append(new)
        rows.append(np.array(m[:_BITS], np.uint64))
    return (np.stack(rows) << np.arange(_BITS - 1, -1, -1, dtype=np.uint64)).astype(np.uint32)


@functools.cache
def sobol_integers(count: int, size: int) -> np.ndarray:
    """The first `count` Sobol points of `size` dimensions (the origin first), as fractions of 2^32."""
    index = np.arange(count, dtype=np.uint32)
    gray = index ^ (index >> 1)
    points = np.zeros((count, size), np.uint32)
    for bit in range(max(count - 1, 1).bit_length()):
        points ^= np.where((gray >> bit) & 1, _direction_numbers()[:size, bit, None], np.uint32(0)).T
    return points


def shifted_sobol(key: Key[Array, ""], count: int, size: int, dtype: jnp.dtype) -> Float[Array, "count size"]:
    """`count` Sobol points under one random digital shift, through the normal quantile function.

    Each point by itself is standard normal (to the resolution of 2^-23 in float32, 2^-32 in float64); the points
    are not independent. `size` is at most `DIMENSIONS`.
    """
    shift = jax.random.bits(key, (size,), jnp.uint32)
    integers = jnp.asarray(sobol_integers(count, size)) ^ shift[None, :]
    # The middle of each cell, never 0 or 1; a float holds the half beside one bit less than its significand has.
    bits = min(_BITS, jnp.finfo(dtype).nmant)
    return jax.scipy.special.ndtri(((integers >> (_BITS - bits)).astype(dtype) + 0.5) / 2.0**bits)
