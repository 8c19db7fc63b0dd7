"""Code to paste at a gap: the bridges of this library that fit, and otherwise the rewriting that does."""

from __future__ import annotations

from .report import Kind

_INDEX = (
    'z = sx.sample(key, dist.Categorical(logits=scores), via=sx.ScoreFunction(), name="choice")  # in sx.expectation',
    "weights = jax.nn.softmax(scores / 0.1); value = weights @ table  # relaxed: another function",
)
_BOOLEAN = (
    'z = sx.sample(key, dist.Bernoulli(logits=(x - threshold) / 0.1), via=sx.ScoreFunction(), name="test")  # in sx.expectation',
    "p = jax.nn.sigmoid((x - threshold) / 0.1); value = p * a + (1 - p) * b  # relaxed: another function",
)
_ROUNDING = ("y = x + jax.lax.stop_gradient({name}(x) - x)  # straight-through: {name}'s value, the derivative of x",)
_WHILE = (
    "jax.lax.scan or jax.lax.fori_loop with a fixed number of passes, and jnp.where for the passes after the end",
    "jax.jacfwd or jax.jvp: forward mode crosses a while_loop",
)
_CALLBACK = (
    "@jax.custom_vjp around the call, with your own derivative",
    "the same computation in jax.numpy",
)
_NO_RULE = ("@jax.custom_jvp around the call, with your own derivative",)

_BERNOULLI = (
    "sx.ScoreFunction(), sx.DisARM(), sx.LeaveOneOut(), sx.Enumerate(), sx.GumbelSoftmax(0.5) or sx.StraightThrough()"
)
_DRAWS = {
    "Bernoulli": f'dist.Bernoulli(logits=logits), via=sx.DisARM(), name="z")  # or {_BERNOULLI}',
    "Categorical": 'dist.Categorical(logits=logits), via=sx.ScoreFunction(), name="z")  # or sx.Enumerate(), sx.LeaveOneOut()',
    "Poisson": 'dist.Poisson(rate), via=sx.ScoreFunction(), name="z")',
    "Binomial": 'dist.Binomial(n, logits=logits), via=sx.ScoreFunction(), name="z")  # or sx.Enumerate(), sx.LeaveOneOut()',
    "Geometric": 'dist.GeometricLogits(logits), via=sx.ScoreFunction(), name="z")',
    "Multinomial": 'dist.Multinomial(n, logits=logits), via=sx.ScoreFunction(), name="z")',
}
_ROUNDINGS = {
    "round": "jnp.round",
    "floor": "jnp.floor",
    "ceil": "jnp.ceil",
    "trunc": "jnp.trunc",
    "sign": "jnp.sign",
    "rint": "jnp.rint",
}
_CHOICES = frozenset(
    "argmax argmin argsort top_k sort searchsorted digitize one_hot nanargmax nanargmin lexsort".split()
)
_TESTS = frozenset("comparison heaviside isclose where".split())


def remedies(operation: str, kind: Kind, route: str) -> tuple[str, ...]:
    """For one gap; the names `sx`, `dist`, `jax` and `jnp` are the usual imports."""
    if kind == "intended":
        return ()
    if kind == "forward-only":
        return _WHILE
    if operation == "host callback":
        return _CALLBACK
    if kind == "no-rule":
        return _NO_RULE
    if operation.endswith(" draw"):
        family = operation.removesuffix(" draw")
        rest = _DRAWS.get(family, f'dist.{family}(...), via=sx.ScoreFunction(), name="z")')
        return (
            f"z = sx.sample(key, {rest}",
            "value, grad = jax.value_and_grad(sx.expectation(f, samples=4))(..., key=key)",
        )
    if operation in _ROUNDINGS:
        return tuple(line.format(name=_ROUNDINGS[operation]) for line in _ROUNDING)
    if operation in _CHOICES or route == "index":
        return _INDEX
    if operation in _TESTS or route == "branch" or operation.startswith("logical"):
        return _BOOLEAN
    if operation.startswith("cast to"):
        return ("leave the number a float: drop the cast", _ROUNDING[0].format(name="jnp.trunc"))
    return ("sx.sample with a distribution whose mean is the value wanted, in sx.expectation", *_NO_RULE)
