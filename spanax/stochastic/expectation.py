"""`expectation`: from a program with draws to an estimate of its expectation that can be differentiated.

f is traced once for each call, as a function of its key alone. The traced program gets the bridges that suit it (`_decisions`),
is interpreted for its scores and costs (`_interpreter`, `_credit`), and is checked for keys that are used twice (`_keys`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import check_key, check_whole
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import may_take_key, takes_key
from .._jaxprs import defined
from .._primitives import sum_over_vmap
from ..bridges import Drawing
from ._decisions.choosing import with_bridges
from ._interpreter.batches import warn_of_batched_loss
from ._interpreter.interpreter import Interpreter
from ._keys.keys import check_keys
from .recording import report
from .sampling import sample

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def expectation(
    f: Callable[..., Any], *, samples: int = 1, via: Mapping[str, Drawing] | None = None, has_aux: bool = False
) -> Callable[..., Any]:
    """The expectation of `f` over its draws, as a function with f's signature.

    Each draw answers only to the costs that its value reaches, by dataflow and order. The derivative, of any order, is the
    estimate that the bridges promise (see their `facts`). For a batch, put the vmap outside:
    `jnp.mean(jax.vmap(expectation(loss), in_axes=...)(..., key=keys))`; a batched loss inside is right, but each draw then
    answers to every example's cost, and a `SpanaxWarning` says so. Works under jit, vmap, grad, jvp, pmap and shard_map.

    Inside f another expectation may be estimated, and used in any way: the derivative is that of E[value of f]. Where the
    estimate enters the costs linearly, given everything else, it is used as it is; anywhere else (its square, its logarithm, a
    branch on it, a gradient step made of it) its draws become draws of f. That needs `ScoreFunction` or `Enumerate` draws
    there, and raises otherwise. OUTSIDE of any expectation a nonlinear function of an estimate is biased, and so is its
    gradient: E[log S] is not log E[S]. Draw more samples, or use `Enumerate`.

    **Arguments:**

    - `f`: `f(*args, key=key, **kwargs)` returns a floating-point scalar (with `has_aux`, a pair of it and any pytree of arrays).
    - `samples`: the number of replicates, whose mean is returned. With 2 or more the default baseline of `ScoreFunction` is the
      mean over the other replicates (leave-one-out).
    - `via`: `{name: bridge}` replaces the bridge at the sites of that name.
    - `has_aux`: f returns a pair, and the function returns `(value, aux)`.

    **Returns:** a function of the same arguments, of which `key` is a keyword and required. Its value is an unbiased estimate of
    E[f + the costs that it records]. `aux` has a leading axis of length `samples`; it is what each replicate saw, not an
    expectation, so a reverse-mode derivative of it raises, and a forward-mode one is NaN.

    **Raises:** `SpanaxError` where the derivative would be wrong:

    - one key for two draws, or a missing key;
    - a draw inside something that cannot be looked into, or a bridge that does not fit its site;
    - a result that is not a scalar;
    - a collective (`psum`, `pmean`, `all_gather`, ...) over an axis that is bound outside, where a draw reaches it and by it a
      cost, through a bridge that is not `Local`;
    - a derivative of your own that crosses a draw with a score (a `custom_jvp` straight-through, or `z + p - stop_gradient(p)`):
      the score would be added to it;
    - where it is differentiated: a `Pathwise()` whose derivative is cut on every path to the costs; and noise that no `sample`
      marked, or a draw, that is compared with what is differentiated so that the value jumps. `jax.lax.stop_gradient` says that
      this is intended. A program that is not seen to be continuous counts as one that jumps.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
    ...     return (z - 0.25) ** 2
    >>> value, slope = jax.value_and_grad(sx.expectation(f))(0.0, key=jax.random.key(0))
    >>> print(f"{value:.4f} {slope:.4f}")  # (0.25**2 + 0.75**2)/2, and p (1 - p) (0.75**2 - 0.25**2)
    0.3125 0.1250
    """
    check_whole("expectation(samples", samples)
    if via is not None and not (isinstance(via, Mapping) and all(isinstance(b, Drawing) for b in via.values())):
        raise SpanaxError(f"expectation(via={via!r})", 'a dictionary of bridges, such as via={"z": sx.DisARM()}')

    # A signature that cannot be read may take one: that is asked again with the arguments of a call.
    if not may_take_key(f):
        raise _without_key(f)

    @functools.wraps(f)
    def estimate(*args, key: Any = None, **kwargs):
        # Before anything is traced: a tensor of another library has no derivative of JAX's, and would be taken for a
        # constant.
        refuse_foreign(args, kwargs)
        check_key(key)
        if not takes_key(f, args, kwargs):
            raise _without_key(f)
        closed, aux_tree = _trace(f, has_aux, key, args, kwargs)
        # In this order: bridges decide which draws have scores, and so which keys and baselines are checked.
        closed = with_bridges(closed, via or {})
        replicate = Interpreter(closed, via or {}, functools.partial(_mean_of_others, samples))
        check_keys(closed, samples > 1, replicate.override)
        warn_of_batched_loss(closed, replicate.bridge_at)
        report(closed, replicate.bridge_at)
        # Without a vmap: a program with a collective, or a callback, runs as it would alone.
        if samples == 1:
            objective, aux = replicate(key)
            aux = [x[None] for x in aux]
        else:
            # Under one vmap, the baseline of each replicate is a sum over the others by a collective.
            objectives, aux = jax.vmap(replicate, axis_name=_REPLICATES)(jax.random.split(key, samples))
            objective = jnp.mean(objectives)
        return (objective, aux_tree(aux)) if has_aux else objective

    estimate.expectation_of = f  # for those who look for gaps in it  # pyright: ignore[reportAttributeAccessIssue]
    return estimate


def _without_key(f: Callable) -> SpanaxError:
    return SpanaxError(
        "expectation(f): f takes no `key`",
        "def f(*args, key): ..., with the key of its draws",
        "functools.wraps(f) on a function that passes it on",
        where=defined(f),
    )


_REPLICATES = "spanax_replicates"


def _mean_of_others(samples: int, togo: Float[Array, "*any"]) -> Float[Array, "*any"] | None:
    if samples == 1:
        return None
    # Leave-one-out by one sum. The replicate's own cost must not be in its baseline: that would bias the gradient.
    return (sum_over_vmap(togo, _REPLICATES) - togo) / (samples - 1)


def _trace(f, has_aux, key, args, kwargs):
    """The program as a function of the key alone, all else closed over; and how to rebuild aux from its further outputs."""
    # What is differentiated becomes a traced constant of the program, so only JAX itself needs to know what that is.
    static = []

    def run(key):
        out = f(*args, key=key, **kwargs)
        scalar, aux = _split_aux(out, defined(f)) if has_aux else (out, None)
        _check_scalar(scalar, has_aux, defined(f))
        # What is not an array (a string, a function) cannot come out of a traced program, and is the same in every replicate.
        arrays, rest = eqx.partition(aux, eqx.is_array_like)
        leaves, tree = jax.tree.flatten(arrays)
        static[:] = [tree, rest]
        return (jnp.asarray(scalar), *leaves)

    closed = jax.make_jaxpr(run)(key)
    tree, rest = static
    return closed, lambda leaves: eqx.combine(jax.tree.unflatten(tree, leaves), rest)


def _split_aux(out, where):
    if not (isinstance(out, tuple) and len(out) == 2):
        raise SpanaxError("with has_aux=True, f must return a pair (scalar, aux)", "return scalar, aux", where=where)
    return out


def _check_scalar(out: Any, has_aux: bool, where: str) -> None:
    shape, dtype = getattr(out, "shape", ()), getattr(out, "dtype", None) or type(out)
    floating = isinstance(out, float) or (hasattr(out, "dtype") and jnp.issubdtype(out.dtype, jnp.floating))
    if shape != () or not floating:
        remedies = ["jnp.mean or jnp.sum of it", "jax.vmap(expectation(f)) for one result per example"]
        if isinstance(out, tuple) and not has_aux:
            remedies = ["has_aux=True, for a pair (scalar, aux)"]
        got = "a tuple" if isinstance(out, tuple) else f"{getattr(dtype, '__name__', dtype)}{list(shape)}"
        raise SpanaxError(
            f"expectation(f): f must return a floating-point scalar, and it returned {got}", *remedies, where=where
        )


def expect(
    f: Callable[[Array], Float[Array, ""]],
    distribution: Distribution | Any,
    *,
    key: Key[Array, ""],
    via: Drawing | None = None,
    samples: int = 1,
) -> Float[Array, ""]:
    """An estimate of E_{a ~ P_theta}[g_theta(a)] for one gap, with both terms of its gradient.

    The gradient has the distribution's term, E[g grad log p], and g's own, E[grad g], and is unbiased for that of the expectation
    where the bridge is.

    **Arguments:**

    - `f`: g, from one draw to a floating-point scalar. It may close over traced values.
    - `distribution`: a numpyro distribution.
    - `key`: one PRNG key.
    - `via`: the bridge; the default as in `sample`.
    - `samples`: the number of replicates, whose mean is returned.

    **Returns:** a floating-point scalar.

    **Raises:** `SpanaxError`, as `sample` and `expectation` do.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def g(theta):
    ...     coin = dist.Bernoulli(probs=theta)
    ...     return sx.expect(lambda a: theta * a, coin, key=jax.random.key(0), via=sx.Enumerate())
    >>> print(f"{jax.grad(g)(0.25):.2f}")  # of theta**2
    0.50
    """
    refuse_foreign(distribution)
    return expectation(lambda *, key: f(sample(key, distribution, via=via)), samples=samples)(key=key)
