"""What a bridge needs from the program around the gap, as abstract classes, and nothing else.

A bridge is an Equinox module (so it is a pytree and may hold traced arrays) that is passed as `via=`. To add an estimator, write
one class: for a draw derive it from `Local`, `Score` or `Branching`, for a hard operation from `Step`, for a whole function from
`Probing`. It need not be registered.
"""

from __future__ import annotations

import abc
import dataclasses
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._pytree import PyTree
from .facts import Facts

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

    from .box import Box
    from .operation import Operation


def _to_text(value: object) -> str:
    # A function by its name and an array by its dtype and shape: an error quotes the bridge as the user wrote it.
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return value.__name__
    return eqx.tree_pformat(value) if eqx.is_array(value) else repr(value)


class Bridge(eqx.Module):
    """Gives a step without a useful derivative a gradient.

    >>> import spanax as sx
    >>> sx.DisARM(pairs=2).facts.evaluations
    '4'
    """

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What the estimate is unbiased for, its evaluations per gradient, its derivative orders, its source."""

    def __repr__(self):
        # A field that is None by default and was not set is left out.
        given = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]
        unset = {f.name for f in dataclasses.fields(self) if f.default is None}
        fields = (f"{name}={_to_text(value)}" for name, value in given if value is not None or name not in unset)
        return f"{type(self).__name__}({', '.join(fields)})"


class Drawing(Bridge):
    """Gives a draw from a distribution a gradient.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> via = sx.StraightThrough()
    >>> isinstance(via, sx.bridges.Drawing), via.draw(jax.random.key(0), dist.Bernoulli(probs=1.0)).item()
    (True, 1.0)
    """

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], distribution: Distribution) -> Array:
        """One draw, of shape `batch_shape + event_shape` (a relaxed or one-hot draw adds its axis at the end).

        The derivative of a `Local` draw is used; that of any other draw is stopped.
        """


# No method beyond `draw`: what is differentiated is the draw itself, so that such a bridge works in any program, not only inside
# `expectation`.
class Local(Drawing):
    """A bridge that needs nothing around it: the draw carries its own derivative.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> class Mean(sx.bridges.Local):  # the mean in place of a draw
    ...     facts = sx.bridges.Facts("f linear in the draw", False, "1", None, "any that has a mean", "Taylor")
    ...     def draw(self, key, distribution):
    ...         return distribution.mean
    >>> loss = sx.expectation(lambda p, *, key: 3 * sx.sample(key, dist.Bernoulli(probs=p), via=Mean()))
    >>> print(jax.grad(loss)(0.5, key=jax.random.key(0)))
    3.0
    """


class Score(Drawing):
    """A bridge that needs the costs that come later: the gradient is E[(cost - baseline) grad log p].

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> class Against(sx.bridges.Score):  # a constant baseline
    ...     baseline: float
    ...     facts = sx.bridges.Facts("E[f]", True, "samples", None, "any whose support is fixed", "Williams 1992")
    ...     def draw(self, key, distribution):
    ...         return sx.ScoreFunction().draw(key, distribution)
    ...     def advantage(self, togo, others):
    ...         return togo - self.baseline
    >>> def loss(logit, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=logit), via=Against(0.34)) - 0.2) ** 2
    >>> print(f"{jax.grad(sx.expectation(loss))(0.0, key=jax.random.key(0)):.2f}")  # 0.6 p (1 - p)
    0.15
    """

    @abc.abstractmethod
    def advantage(self, togo: Float[Array, "*loops"], others: Float[Array, "*loops"] | None) -> Float[Array, "*loops"]:
        """The costs that depend on a draw, less a baseline that is independent of it.

        `togo`: the sum of the costs that the draw reaches, with one axis for each `scan` around the site.
        `others`: its mean over the other replicates, or None if there is one replicate. Array fields of this bridge arrive with
        the same leading axes. Do not stop the gradient of either: their derivatives make second derivatives right.
        """


# log p(z) is a function of z, and not always the best score: of a mixture the component is known when z is made, and of a Gamma
# draw that underflowed its logarithm is. Made together from one key, neither has to be found again from z.
class Scored(Score):
    """A `Score` that makes its draw and the score of it together, from one key: it may know more than the draw shows.

    The draw may carry a derivative of its own, which is used beside the score: E[f'(z) dz] is then a part of the gradient.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> z, score = sx.ScoreFunction().draw_with_score(jax.random.key(0), dist.Poisson(3.0))
    >>> score.item()  # log p - stop_gradient(log p)
    0.0
    """

    @abc.abstractmethod
    def draw_with_score(self, key: Key[Array, ""], distribution: Distribution) -> tuple[Array, Float[Array, ""]]:
        """The draw of `draw` with this key, and log p - stop_gradient(log p): 0 in value, with derivatives of every order."""


class Branching(Drawing):
    """A bridge that runs the rest of the program again, for several values of the draw.

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, spanax as sx
    >>> class BothSides(sx.bridges.Branching):  # of a Bernoulli draw
    ...     facts = sx.bridges.Facts("E[f]", True, "2", None, "Bernoulli", "the definition of the expectation")
    ...     def draw(self, key, distribution):
    ...         return sx.ScoreFunction().draw(key, distribution)
    ...     def branches(self, distribution):
    ...         return 2
    ...     def objective(self, key, distribution, rest):
    ...         p = distribution.probs
    ...         return (1 - p) * rest(jnp.zeros_like(p)) + p * rest(jnp.ones_like(p))
    >>> loss = sx.expectation(lambda p, *, key: (sx.sample(key, dist.Bernoulli(probs=p), via=BothSides()) - 3) ** 2)
    >>> print(jax.grad(loss)(0.5, key=jax.random.key(0)))  # 4 - 9
    -5.0
    """

    @abc.abstractmethod
    def branches(self, distribution: Distribution) -> int:
        """How many times the rest of the program runs, for one evaluation."""

    @abc.abstractmethod
    def objective(
        self, key: Key[Array, ""], distribution: Distribution, rest: Callable[[Array], Float[Array, ""]]
    ) -> Float[Array, ""]:
        """A scalar: its value estimates E[rest(z)], its derivative the derivative of E[rest(z)].

        `rest(z)` takes one draw and may be vmapped; its own derivative with respect to everything but z is right.
        """


class Step(Bridge):
    """A bridge of a hard operation, such as a comparison, `round` or `argmax`: a value of the operation, with a derivative.

    >>> import jax, spanax as sx
    >>> class Linear(sx.bridges.Step):  # the input in place of the result
    ...     facts = sx.bridges.Facts("nothing exactly", False, "1", None, "operations like the identity", "none")
    ...     def step(self, operation, x, key):
    ...         return operation.identity(x)
    >>> jax.value_and_grad(lambda x: sx.hard.round(x, via=Linear()))(2.6)[1].item()
    1.0
    """

    @abc.abstractmethod
    def step(self, operation: Operation, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*out"]:
        """The operation at x, exact or relaxed, with the bridge's derivative; `key` is what the user gave, if anything."""


# Two pure functions, because the evaluations in between happen outside of JAX, in one batch, on any machine. `combine` gets the
# points again rather than the key: their rounding is then in the quotient, and a stored batch can be combined later.
class Probing(Bridge):
    """A bridge that needs the function at other points: two pure JAX functions, with the evaluations in between.

    x is a pytree of floating-point arrays; one of size 0 has no points and no derivative. X and Y are pytrees with a leading axis
    of length n, one row for each point: X has x's structure, Y that of a value of the function.

    >>> import jax.numpy as jnp, spanax as sx
    >>> via, x = sx.FiniteDifference(step=0.5, scheme="forward"), jnp.array([1.0, 2.0])
    >>> X = via.points(x, None)
    >>> X.tolist()
    [[1.5, 2.0], [1.0, 2.5]]
    >>> via.combine(x, X, X[:, 0] * X[:, 1], y=x[0] * x[1]).tolist()
    [2.0, 1.0]
    """

    @abc.abstractmethod
    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """X: where the function is to be evaluated. n depends on shapes only.

        `key` is None if the user gave none; a bridge that needs one raises `SpanaxError`.
        """

    @abc.abstractmethod
    def combine(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        ct: PyTree[Array] | float = 1.0,
        *,
        y: PyTree[Array],
        kept: Bool[Array, " n"] | None = None,
    ) -> PyTree[Array]:
        """The derivative of <ct, f> at x, of x's structure, shapes and dtypes; linear in ct, as `linear_transpose` needs it.

        `X` are `points(x, key)`, `Y` the values there, `y` the value at x; `ct` weights the elements of one value, a number all
        of them alike. `kept`: which points have a value (None: all). The other rows of Y, which may hold NaN, have no influence;
        if too few are kept (see `usable`) the derivative is NaN.
        """

    @abc.abstractmethod
    def usable(self, kept: np.ndarray) -> bool:
        """Is there an estimate from the kept points only? On the host: `kept` is a NumPy array of n booleans."""


class Bounded(Probing):
    """A probing bridge that can keep its points between bounds.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> box = sx.bridges.Box(jnp.zeros(1), jnp.ones(1))
    >>> X = sx.Smoothing(sigma=0.5, pairs=32).within(box).points(jnp.array([0.9]), jax.random.key(0))
    >>> 0 <= X.min() and X.max() <= 1
    Array(True, dtype=bool)
    """

    @abc.abstractmethod
    def within(self, box: Box) -> Probing:
        """A bridge for the same derivative, all of whose points, including those of a pilot, lie in the box, as x does."""


# The pilot's points depend on x and shapes only, so that a batch of them has a fixed size under jit.
class Tuned(Probing):
    """A probing bridge that first evaluates a few points, to choose its step.

    >>> import jax.numpy as jnp, spanax as sx
    >>> via, x = sx.FiniteDifference(), jnp.array([1.0, 2.0])
    >>> P = via.pilot(x, None)
    >>> P.shape, via.fitted(x, P, jnp.sum(P**3, axis=1), jnp.sum(x**3)).step.shape
    ((24, 2), (2,))
    """

    @abc.abstractmethod
    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """Points on a leading axis, always the same number of them; None if there is nothing to choose."""

    @abc.abstractmethod
    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> Probing:
        """The bridge with its step chosen: `values` are those at the points P = `pilot(x, key)`, `y` that at x."""


# The state is explicit, so that a loop can carry it, save it and resume from it. What is learnt from one gradient leaves the
# compiled program as arrays; the learning itself runs between two steps, on the host.
class Learning(Bounded):
    """A probing bridge that learns from its evaluations. `sx.descend` carries what it has learnt from step to step.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def f(x):
    ...     return jnp.sum(jnp.sin(x))
    >>> via, x, key = sx.Surrogate(sigma=0.1, pairs=2), jnp.ones(2), jax.random.key(0)
    >>> state = via.untrained(x, f(x))
    >>> for k in jax.random.split(key, 5):
    ...     bridge = via.holding(state)
    ...     X = bridge.points(x, k)
    ...     Y = jax.vmap(f)(X)
    ...     slope = bridge.combine(x, X, Y, y=f(x))
    ...     state = via.learned(state, [bridge.evidence(x, X, Y, y=f(x))])
    >>> via.agreement(state).slopes > 0
    True
    """

    @abc.abstractmethod
    def untrained(self, x: PyTree[Any], y: PyTree[Any]) -> PyTree[np.ndarray]:
        """The state before the first gradient: NumPy arrays, whose shapes depend on those of x and of a value y only."""

    @abc.abstractmethod
    def holding(self, state: PyTree[Array]) -> Learning:
        """The bridge with what it has learnt."""

    @abc.abstractmethod
    def evidence(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        *,
        y: PyTree[Array],
        kept: Bool[Array, " n"] | None = None,
    ) -> PyTree[Array]:
        """What one gradient's evaluations tell: a pure JAX function; arguments as for `combine`."""

    @abc.abstractmethod
    def learned(self, state: PyTree[np.ndarray], evidence: Sequence[PyTree[np.ndarray]]) -> PyTree[np.ndarray]:
        """The state after these, in NumPy, on the host: of the same structure, shapes and dtypes."""

    @abc.abstractmethod
    def agreement(self, state: PyTree[np.ndarray]) -> Any:
        """What its last checks found; `str` shows it."""
