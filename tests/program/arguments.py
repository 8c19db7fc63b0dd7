"""The form of what `sx.gradient` returns, by its documented rule."""

import jax
import numpy as np


def by_argument(gradient, args):
    """One gradient for each argument: None for all but one where only one counts."""
    leaves = [jax.tree.leaves(arg) for arg in args]
    floats = [
        i for i, x in enumerate(leaves) if any(getattr(leaf, "dtype", np.array(leaf).dtype).kind in "fc" for leaf in x)
    ]
    counting = floats or [i for i, x in enumerate(leaves) if any(type(leaf) is int for leaf in x)]
    if len(counting) != 1:
        assert type(gradient) is tuple and len(gradient) == len(args)
        return gradient
    return tuple(gradient if i == counting[0] else None for i in range(len(args)))
