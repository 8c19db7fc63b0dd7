"""The primitives `sample` and `cost`: what a program says about its draws. `expectation` gives them meaning.

A draw is one equation in the traced program, with everything static about it in its `Site`; so it survives jit, scan, cond and
vmap as it is, and an expectation around it finds it there.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import again, here
from .._math.distributions import numpyro_promotion
from .._math.log_probs import score
from .._math.opened import check_static, closed, opened
from .._math.parts import check_drawn
from .._math.precision import is_low, lowered, raised
from .._math.scored import is_told_by_the_draw
from .._primitives import (
    new_primitive,
    no_tangent,
    set_batching,
    set_batching_always,
    set_jvp,
    set_partial_evaluation,
    zero_valued,
)
from ..bridges import Drawing, Local, Scored
from ..bridges.best import best_bridge

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


class Site(NamedTuple):
    """What is static about a draw: the parameters of its equation.

    `vmapped` has one entry for each inner vmap around the site, innermost first: the mapped axis, or None, of the key
    and of each array leaf. The vmaps are kept, and not carried out, since a batched distribution is another one: with a mapped
    key, each index draws for itself.
    """

    tree: Any  # of (distribution, bridge), the distribution opened: the arrays of its static fields are leaves as well
    static: tuple[Hashable, ...]  # their leaves that are not arrays, and ARRAY where one is
    vmapped: tuple[tuple[int | None, ...], ...]
    name: str | None
    where: str
    estimate: int | None = None  # the expectation that the draw is a part of, where that has been taken already
    automatic: bool = False  # was the bridge chosen here, and not by the user?

    @property
    def label(self) -> str:
        return repr(self.name) if self.name else "an unnamed draw"


class _Array:
    def __repr__(self):
        return "ARRAY"


ARRAY = _Array()


def _is_array(leaf: Any) -> bool:
    # Python's integers and booleans stay static: a shape, or a number of categories, must not be traced.
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | float | complex)


def _real_array(value: Any) -> Array | None:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if jnp.isrealobj(array) else None


def parts(site: Site, leaves: Sequence[Any]) -> tuple[Distribution, Drawing]:
    """The distribution and the bridge that a site's array leaves make up, in float32 where a leaf has fewer digits."""
    return raised(_parts_as_given(site, leaves))


def _parts_as_given(site: Site, leaves: Sequence[Any]) -> tuple[Distribution, Drawing]:
    # In the order in which `_flatten` took them out.
    arrays = iter(leaves)
    return closed(jax.tree.unflatten(site.tree, [next(arrays) if s is ARRAY else s for s in site.static]))


def _under_vmaps(site: Site, fn, mapped: tuple[int, ...] = ()):
    """fn(key, *leaves), or fn(z, *leaves) where z is mapped over its leading axes, under the site's inner vmaps."""
    # From the innermost: each vmap wraps the function that the ones inside it have made.
    for axes in site.vmapped:
        fn = jax.vmap(fn, in_axes=(*mapped, *axes[1:]) if mapped else axes)
    return fn


@contextlib.contextmanager
def attribute_errors(site: Site) -> Iterator[None]:
    """Gives an error that a bridge raises the name and the place of its draw."""
    # A bridge's draw runs far from the line that the user wrote: in expectation, or in a derivative.
    try:
        yield
    except SpanaxError as error:
        # Another draw's error, on its way out through this one: it names the right place already.
        if error.is_placed:
            raise
        raise SpanaxError(f"{site.label}: {error.problem}", *error.remedies, where=site.where) from error


def draw(site: Site, via: Drawing | None, key: Key[Array, ""], *leaves: Array) -> Array:
    """A draw of the site by `via`, or by its own bridge, in the dtype that it has with the parameters as they are given."""

    def one(key, *leaves):
        distribution, own = parts(site, leaves)
        return (via or own).draw(key, distribution)

    with attribute_errors(site):
        return _as_given(site, via, _under_vmaps(site, one)(key, *leaves), key, *leaves)


def draw_with_score(
    site: Site, via: Drawing | None, key: Key[Array, ""], *leaves: Array
) -> tuple[Array, Float[Array, ""]]:
    """The same of a `Score`, with log p(z) - stop_gradient(log p(z)), summed over all indices and elements."""

    def one(key, *leaves):
        distribution, own = parts(site, leaves)
        bridge = via or own
        if isinstance(bridge, Scored):
            return bridge.draw_with_score(key, distribution)
        # Stopped: of a draw with a derivative of its own, log p(z) would have one by z as well, which is not the score's.
        z = bridge.draw(key, distribution)
        return z, score(distribution, jax.lax.stop_gradient(z))

    with attribute_errors(site):
        z, scores = _under_vmaps(site, one)(key, *leaves)
        return _as_given(site, via, z, key, *leaves), jnp.sum(scores)


def with_score(site: Site, key: Key[Array, ""], z: Array, *leaves: Array) -> tuple[Array, Float[Array, ""]]:
    """The same of a draw z that stands in the program: with the derivative that it has besides its score, and the score.

    What the draw does not reveal, such as the component of a mixture, is drawn again from the same key, only for the derivatives.
    """
    distribution, via = parts(site, leaves)
    if not isinstance(via, Scored) or is_told_by_the_draw(distribution):
        score_of = _under_vmaps(site, lambda z, *leaves: score(parts(site, leaves)[0], z), (0,))
        return z, jnp.sum(score_of(jax.lax.stop_gradient(z), *leaves))

    drawn_again = again(functools.partial(draw_with_score, site, None))(key, *leaves)
    # The barriers say that both depend on the draw: what reaches a cost by them reaches it by the draw. One for each: a draw
    # without a derivative of its own gets no tangent from the score's.
    drawn, scored = (jax.lax.optimization_barrier((x, z))[0] for x in drawn_again)
    return z + zero_valued(drawn, site.estimate) if jnp.issubdtype(z.dtype, jnp.inexact) else z, scored


def _as_given(site: Site, via: Drawing | None, z: Array, key: Key[Array, ""], *leaves: Array) -> Array:
    """z in the dtype of a draw from the parameters as they are given, where they have fewer digits than float32."""
    # Only then has `parts` raised them to float32, and the draw may be of another dtype than the user's program was written
    # for.
    if not any(map(is_low, leaves)):
        return z

    def one(key, *leaves):
        distribution, own = _parts_as_given(site, leaves)
        return (via or own).draw(key, distribution)

    with numpyro_promotion():  # a bridge's own settings are in float32
        return lowered(z, jax.eval_shape(_under_vmaps(site, one), key, *leaves).dtype)


def _run_sample(key, *leaves, site):
    return [draw(site, None, key, *leaves)]


def _sample_avals(key, *leaves, site):
    # Without the weak type: what follows must not depend on whether a parameter was a Python number.
    (out,) = jax.make_jaxpr(lambda *args: draw(site, None, *args))(key, *leaves).out_avals
    return [out.update(weak_type=False)]


sample_p = new_primitive("sample", _run_sample, _sample_avals)
cost_p = new_primitive("cost", lambda value, **_: [], lambda value, **_: [], kept=True)


# In an equation of its own the vmap is remembered, and not applied: the rule of the primitive applies it when it draws.
def _batch_sample(args, dims, *, site):
    return sample_p.bind(*args, site=site._replace(vmapped=(*site.vmapped, tuple(dims)))), [0]


def with_bridge(site: Site, via: Drawing, leaves: Sequence[Array]) -> tuple[Site, list[Array]]:
    """The site with another bridge, and its array leaves."""
    distribution, own = _parts_as_given(site, leaves)
    tree, static, arrays = _flatten(distribution, via)
    # The distribution's leaves come first and keep their mapped axes; those of the new bridge are the same at every index.
    kept = len(leaves) - sum(map(_is_array, jax.tree.leaves(own)))
    more = (None,) * (len(arrays) - kept)
    vmapped = tuple((*axes[: 1 + kept], *more) for axes in site.vmapped)
    return site._replace(tree=tree, static=static, vmapped=vmapped), arrays


def _flatten(distribution: Distribution, via: Drawing) -> tuple[Any, tuple[Hashable, ...], list[Array]]:
    """The tree of both, their leaves that are not arrays with ARRAY where one is, and the arrays."""
    leaves, tree = jax.tree.flatten((opened(distribution), via))
    static = tuple(ARRAY if _is_array(leaf) else leaf for leaf in leaves)
    return tree, static, [jnp.asarray(leaf) for leaf in leaves if _is_array(leaf)]


def _jvp_sample(primals, tangents, *, site):
    _, via = parts(site, primals[1:])
    if not isinstance(via, Local) and site.estimate is not None:  # the scores of the estimate have the derivative
        z = sample_p.bind(*primals, site=site)[0]
        return [z], [no_tangent(z)]
    if not isinstance(via, Local):
        raise SpanaxError(
            f"{site.label} via {via!r} is differentiated outside expectation, or by a derivative inside f: it would be a "
            "silent zero there",
            "differentiate sx.expectation(f), not f",
            "inside f: sx.expectation of the function that jax.grad or jax.vjp differentiates, as well",
            "a bridge whose draw has its own derivative: Pathwise, GumbelSoftmax, StraightThrough, ReinMax",
            "jax.lax.stop_gradient around the distribution's parameters, if a zero is meant",
            where=site.where,
        )
    # The bridge's own rules are followed: straight-through and relaxed draws have a derivative that is not the draw's.
    out, d_out = jax.jvp(lambda *args: draw(site, None, *args), primals, tangents)
    return [out], [d_out]


def _batch_cost(args, dims, *, name, where, mapped):
    """Outside of any expectation it does nothing; `expectation` refuses one that is mapped."""
    return cost_p.bind(*args, name=name, where=where, mapped=True), []


# A cost that is differentiated outside would add nothing to the derivative, in silence.
def _jvp_cost(primals, tangents, *, name, where, mapped):
    label = f"the cost {name!r}" if name else "a cost"
    raise SpanaxError(
        f"{label} is differentiated outside expectation, or by a derivative inside f: it adds to nothing there",
        "differentiate sx.expectation(f), not f",
        "inside f: let the function that jax.grad or jax.vjp differentiates return the value (has_aux=True), and call "
        "sx.cost on it outside",
        where=where,
    )


def _split_cost(*, name, where, mapped):
    """Splitting a scan moves what does not depend on its iteration out of it, and a cost would count once."""
    label = f"the cost {name!r}" if name else "a cost"
    raise SpanaxError(
        f"{label} inside what a reverse-mode derivative inside f goes through, or one outside expectation: how often it "
        "counts would be lost",
        "inside f: let the function that jax.grad or jax.vjp differentiates return the value (has_aux=True), and call "
        "sx.cost on it outside",
        "differentiate sx.expectation(f), not f",
        where=where,
    )


# By the same rules a site and a cost survive every transformation, until an expectation or the user's own run meets them.
set_batching(sample_p, _batch_sample)
set_batching_always(cost_p, _batch_cost)
set_jvp(sample_p, _jvp_sample)
set_jvp(cost_p, _jvp_cost)
set_partial_evaluation(cost_p, _split_cost)


def sample(
    key: Key[Array, ""],
    distribution: Distribution | Any,  # numpyro types its constructors Optional
    *,
    via: Drawing | None = None,
    name: str | None = None,
) -> Array:
    """A draw from `distribution`; `via` says how the gradient crosses it.

    In a plain call, or under jit and vmap, it only draws. Inside `expectation` the bridge gives the draw its gradient.

    **Arguments:**

    - `key`: one PRNG key, of the new or the raw kind. Inside `expectation` no two draws may share one.
    - `distribution`: a numpyro distribution. What is differentiated is its parameters.
    - `via`: the bridge. By default `Pathwise()` where the distribution has a reparametrised draw, `Componentwise()` where it is a
      mixture of components that have one, else `ScoreFunction()`; and inside `expectation` the score function as well where the
      program jumps in the draw, which a `SpanaxWarning` reports.
    - `name`: lets `expectation(f, via={name: bridge})` replace the bridge; sites may share a name. Errors use it as well.

    **Returns:** an array of shape `batch_shape + event_shape`. A Bernoulli draw is a float. A relaxed or straight-through
    Categorical draw comes as weights, with the categories on a new last axis.

    **Raises:** `SpanaxError`

    - where `distribution`, `via` or `key` is not what is asked for, or the bridge does not fit the distribution;
    - where a draw that is not `Local` is differentiated outside `expectation`: its gradient would be a silent zero.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> sx.sample(jax.random.key(0), dist.Bernoulli(logits=0.0), via=sx.ScoreFunction(), name="coin").shape
    ()
    """
    where = here()
    _check_call(key, distribution, via)
    check_drawn(distribution, where)
    tree, static, arrays = _flatten(distribution, via or best_bridge(distribution))
    for leaf in static:
        check_static(leaf, where)
    site = Site(tree, static, (), name, where, automatic=via is None)
    return sample_p.bind(key, *arrays, site=site)[0]


def _check_call(key: Any, distribution: Any, via: Any) -> None:
    from numpyro.distributions import Distribution

    if not isinstance(distribution, Distribution):
        raise SpanaxError(
            f"sample(key, distribution) got a {type(distribution).__name__} for the distribution",
            "a numpyro distribution",
        )
    refuse_foreign(distribution)
    if via is not None and not isinstance(via, Drawing):
        is_class = isinstance(via, type) and issubclass(via, Drawing)
        hint = f"{via.__name__}()" if is_class else "a bridge, such as ScoreFunction()"
        raise SpanaxError(f"via={via!r} is not a bridge for a draw", hint)
    check_key(key)


def cost(value: Float[Array, ...] | float, name: str | None = None) -> None:
    """Adds `value` to the objective, at this point of the program.

    Inside `expectation(f)` the objective is f's result plus all costs, and a draw answers only to those costs that it
    reaches: the earlier a cost is recorded, the less variance. In a plain call it does nothing.

    **Arguments:**

    - `value`: a real number, or an array of them, which is summed.
    - `name`: what errors call it.

    **Raises:** `SpanaxError`

    - where `value` is not a real number or an array of them;
    - where it is differentiated outside `expectation`, or by a derivative inside f;
    - inside a vmap of the program: a `cond` is a select there, and would count the costs of both branches.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
    ...     sx.cost(3.0 * z, name="detour")
    ...     return z
    >>> print(f"{jax.grad(sx.expectation(f))(0.0, key=jax.random.key(0)):.2f}")  # of 4 p, which is 4 p (1 - p)
    1.00
    """
    refuse_foreign(value)
    array = _real_array(value)
    if array is None:
        raise SpanaxError(f"sx.cost of {value!r}", "a real number, or an array of them")
    cost_p.bind(array, name=name, where=here(), mapped=False)
