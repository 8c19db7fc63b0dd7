"""A function of the host inside jit: microseconds a call, beside `jax.pure_callback` and the same function in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks import _timing

SIZE, LANES = 10, 256
OUT = jax.ShapeDtypeStruct((), float)


def bowl(x):
    return np.einsum("...i,...i->...", x, x)


def bowl_vjp(x, y, ct):
    return 2 * x * ct[..., None]


def by_pure_callback(vmap_method: str):
    """Hand-written: the value, and for a derivative both in one callback."""
    out, slope = jax.ShapeDtypeStruct((), jnp.float64), jax.ShapeDtypeStruct((SIZE,), jnp.float64)

    def both(x):
        x = np.asarray(x)
        return bowl(x), 2 * x

    @jax.custom_vjp
    def f(x):
        return jax.pure_callback(lambda x: bowl(np.asarray(x)), out, x, vmap_method=vmap_method)

    def forward(x):
        return jax.pure_callback(both, (out, slope), x, vmap_method=vmap_method)

    f.defvjp(forward, lambda slope, ct: (slope * ct,))
    return f


def by_two_callbacks():
    """Hand-written: the value, and the derivative once its cotangent is known, as for any function of several results."""
    slope = jax.ShapeDtypeStruct((SIZE,), jnp.float64)

    @jax.custom_vjp
    def f(x):
        return jax.pure_callback(lambda x: bowl(np.asarray(x)), jax.ShapeDtypeStruct((), jnp.float64), x)

    def backward(x, ct):
        return (jax.pure_callback(lambda x, ct: 2 * np.asarray(x) * np.asarray(ct), slope, x, ct),)

    f.defvjp(lambda x: (f(x), x), backward)
    return f


def boxes() -> dict:
    key = jax.random.key(0)
    manual = sx.blackbox(bowl, OUT, via=sx.Manual(vjp=bowl_vjp), batched=True)
    differences = sx.blackbox(bowl, OUT, via=sx.FiniteDifference(step=1e-4), batched=True)
    one_by_one = sx.blackbox(bowl, OUT, via=sx.FiniteDifference(step=1e-4))
    smoothing = sx.blackbox(bowl, OUT, via=sx.Smoothing(0.1, pairs=10), batched=True)
    return {
        "in JAX": lambda x: jnp.vdot(x, x),
        "pure_callback, one": by_pure_callback("expand_dims"),
        "pure_callback, two": by_two_callbacks(),
        "Manual(vjp): two calls": manual,
        "FiniteDifference: 21 points": differences,
        "the same, point by point": one_by_one,
        "Smoothing: 21 points": lambda x: smoothing(x, key=key),
    }


def timed(functions: dict, x: jax.Array, repeats: int) -> _timing.Seconds:
    compiled = {name: jax.jit(f) for name, f in functions.items()}
    return _timing.interleaved(
        {name: lambda f=f: jax.block_until_ready(f(x)) for name, f in compiled.items()}, repeats=repeats
    )


def report(title: str, seconds: _timing.Seconds, reference: str) -> None:
    rows = [[name, *_timing.times(seconds, name, reference, 1e-6)] for name in seconds]
    _timing.table([title, *_timing.times_head("us")], rows)
    print()


def main() -> None:
    args = _timing.parser(__doc__, repeats=50).parse_args()
    _timing.limit_cores(args.cores)
    jax.config.update("jax_enable_x64", True)
    _timing.versions("jax", "jaxlib", "numpy", "spanax")
    x = jnp.arange(float(SIZE))
    gradients = timed({name: jax.value_and_grad(f) for name, f in boxes().items()}, x, args.repeats)
    report(f"value and gradient, {SIZE} numbers", gradients, "pure_callback, two")
    mapped = {
        "in JAX": lambda x: jnp.vdot(x, x),
        "pure_callback, expand_dims": by_pure_callback("expand_dims"),
        "pure_callback, sequential": by_pure_callback("sequential"),
        "Spanax, batched": boxes()["Manual(vjp): two calls"],
    }
    values = timed({name: jax.vmap(f) for name, f in mapped.items()}, jnp.ones((LANES, SIZE)), args.repeats)
    report(f"values, {LANES} points under vmap", values, "pure_callback, expand_dims")

    def median(seconds: _timing.Seconds, name: str) -> float:
        return 1e6 * float(np.median(seconds[name]))

    _timing.verdict("us, value and gradient by differences", median(gradients, "FiniteDifference: 21 points"), 60)
    _timing.verdict("us, value and gradient by Manual", median(gradients, "Manual(vjp): two calls"), 60)
    _timing.verdict(f"us, {LANES} points under vmap", median(values, "Spanax, batched"), 90)


if __name__ == "__main__":
    main()
