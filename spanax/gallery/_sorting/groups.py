"""Groups of pictures that show different digits, of which only the order is told."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._shared.digits import Labelled

ORDERS = 5000  # sets of digits, drawn once: drawing without replacement would need a sort in each step


class Pile(NamedTuple):
    """Pictures, those of each digit, and many draws of n digits without replacement.

    No group has two pictures of one digit: a tie would have no order that could be told.
    """

    images: Float[Array, "n 8 8"]
    labels: Int[Array, " n"]
    members: Int[Array, "digits most"]  # the numbers of each digit's pictures, filled up with the first
    counts: Int[Array, " digits"]
    orders: Int[Array, "orders group"]

    @staticmethod
    def of(digits: Labelled, size: int, seed: int) -> Pile:
        """Of groups of `size` pictures, from 2 to 10."""
        each = [np.flatnonzero(digits.labels == digit) for digit in range(10)]
        counts = np.array([len(one) for one in each], np.int32)
        # A table has rows of one length; what fills them up is never drawn, because `counts` ends before it.
        members = np.stack([np.concatenate([one, one[:1].repeat(counts.max() - len(one))]) for one in each])
        generator = np.random.default_rng(seed)
        orders = np.argsort(generator.random((ORDERS, 10)), axis=-1)[:, :size]
        arrays = digits.images, digits.labels, members.astype(np.int32), counts, orders.astype(np.int32)
        return Pile(*map(jnp.asarray, arrays))

    def draw(self, key: Key[Array, ""], count: int) -> tuple[Int[Array, "count group"], Int[Array, "count group"]]:
        """So many groups, in no order: the numbers of the pictures, and the digits that they show."""
        which, who = jax.random.split(key)
        digits = self.orders[jax.random.randint(which, (count,), 0, len(self.orders))]
        chosen = jax.random.randint(who, digits.shape, 0, self.counts[digits])
        return self.members[digits, chosen], digits
