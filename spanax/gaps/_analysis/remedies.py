"""Code to paste at a gap: the bridges of this library that fit, and otherwise the rewriting that does."""

from __future__ import annotations

from ..._paste import sample_call
from ..report import Kind

_SOFT = "via=sx.StraightThrough(sx.Soft(0.1))"  # 0.1: noise on the input, in its units
_SMOOTH = "value, grad = jax.value_and_grad(sx.smooth(f, via=sx.Smoothing(sigma=0.1)))(x, key=key)  # from values alone"
_INDEX = (
    f"weights = sx.hard.argmax(scores, {_SOFT}); value = sx.hard.take(table, weights)",
    'z = sx.sample(key, dist.Categorical(logits=scores), via=sx.ScoreFunction(), name="choice")  # in sx.expectation',
    _SMOOTH,
)
_BOOLEAN = (
    f"test = sx.hard.greater(x, threshold, {_SOFT}); value = sx.hard.where(test, a, b)",
    'z = sx.sample(key, dist.Bernoulli(logits=(x - threshold) / 0.1), via=sx.ScoreFunction(), name="test")  # in sx.expectation',
    _SMOOTH,
)
_OPERATION = (
    f"sx.hard.{{name}}(..., {_SOFT})  # the exact value, the derivative of the relaxed operation",
    "sx.hard.{name}(..., via=sx.Soft(0.1))  # the relaxed value",
)
_IDENTITY = "sx.hard.{name}(..., via=sx.StraightThrough())  # the exact value, the derivative of the identity"
_WHILE = (
    "jax.lax.scan or jax.lax.fori_loop with a fixed number of passes, and jnp.where for the passes after the end",
    "jax.jacfwd or jax.jvp: forward mode crosses a while_loop",
    _SMOOTH,
)
_CALLBACK = (
    "@jax.custom_vjp around the call, with your own derivative",
    "the same computation in jax.numpy",
)
_NO_RULE = ("@jax.custom_jvp around the call, with your own derivative",)

# Operations that sx.hard has; the first ones may be taken for the identity.
_STEPS = frozenset("round floor ceil trunc sign heaviside".split())
_HARD = _STEPS | frozenset("argmax argmin one_hot top_k argsort searchsorted histogram bincount isclose".split())
_ALIASES = {"rint": "round", "fix": "trunc", "digitize": "searchsorted"}
_CHOICES = frozenset("nanargmax nanargmin lexsort sort".split())
_TESTS = frozenset("comparison where".split())


_EXPECTATION = "value, grad = jax.value_and_grad(sx.expectation(f, samples=4))(..., key=key)"
_CAST = ("leave the number a float: drop the cast", f"sx.hard.trunc(x, {_SOFT})")
_OTHER = ("sx.sample with a distribution whose mean is the value wanted, in sx.expectation", *_NO_RULE)


def remedies(operation: str, kind: Kind, route: str) -> tuple[str, ...]:
    """For one gap; the names `sx`, `dist`, `jax` and `jnp` are the usual imports."""
    if kind == "intended":
        return ()
    if kind == "forward-only":
        return _WHILE
    if operation == "host callback":
        return _CALLBACK
    # sx.hard has no second derivative for some operations, and still is the remedy there.
    if kind == "no-rule" and not operation.startswith("hard."):
        return _NO_RULE
    if operation.endswith(" draw"):
        return sample_call(operation.removesuffix(" draw")), _EXPECTATION
    return _of_hard_operation(operation) or _of_use(operation, route)


def _of_hard_operation(operation: str) -> tuple[str, ...]:
    """Where `sx.hard` has the operation itself; () elsewhere."""
    # np.rint is round, np.fix is trunc: what the user called need not be what sx.hard calls it.
    name = _ALIASES.get(operation, operation.removeprefix("hard."))
    if name not in _HARD and not operation.startswith("hard."):
        return ()
    lines = (*_OPERATION, _IDENTITY) if name in _STEPS else _OPERATION
    return tuple(line.format(name=name) for line in lines)


def _of_use(operation: str, route: str) -> tuple[str, ...]:
    """By what the value is used for: an index, a test, a number."""
    # An index is a choice among places: weights over the places take its part.
    if operation in _CHOICES or route == "index":
        return _INDEX
    if operation in _TESTS or route == "branch" or operation.startswith("logical"):
        return _BOOLEAN
    return _CAST if operation.startswith("cast to") else _OTHER
