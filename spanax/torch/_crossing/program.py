"""A JAX function of a list of arrays, and what derives from it: its pullback, its pushforward, itself over a mapped axis.

Each is such a function again, so that derivatives of every order and every nesting of PyTorch's transformations are made of the
same pieces.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from ..._jaxprs import is_traced

Fixed = Sequence[Any]  # arrays of JAX among the arguments: no tensor, no derivative


class Form:
    """What is static about a result: `build(leaves)` puts it together; of each leaf, whether it is a float, and `alive`: whether
    the arguments that are differentiated move it.
    """

    def __init__(self, build: Callable[[Sequence[Any]], Any], leaves: Sequence[Any]):
        self.build = build
        self.floats = [_is_inexact(y) for y in leaves]
        self.alive = [False] * len(leaves)


# What a program returns: one entry, its form and its leaves. The only key of a dict is part of its structure, so a compiled
# function hands over the form of the trace that it runs, and no class of ours has to be built on the way.
Result = dict[Form, Sequence[Any]]


def result(build: Callable[[Sequence[Any]], Any], leaves: Sequence[Any]) -> Result:
    return {Form(build, leaves): leaves}


def opened(entry: dict[Any, Sequence[Any]]) -> tuple[Any, Sequence[Any]]:
    """The static part and the leaves."""
    ((static, leaves),) = entry.items()
    return static, leaves


class Links:
    """How a pullback is put together again: from residuals, from arguments that stay with the caller, and from constants.

    `sources`: of each leaf of `tree` (kind, what): a constant, or a place among the residuals or the arguments `needs`.
    `floats`: shape and dtype of each floating-point result.
    """

    def __init__(self, tree: Any, sources: Sequence[tuple[str, Any]], needs: Sequence[int], floats: Sequence[Any]):
        self.tree, self.sources, self.needs, self.floats = tree, sources, needs, floats

    def pullback(self, residuals: Sequence[Any], given: Sequence[Any]) -> Callable:
        places = {"residual": residuals, "argument": given}
        leaves = [what if kind == "constant" else places[kind][what] for kind, what in self.sources]
        return jax.tree.unflatten(self.tree, leaves)


Residuals = dict[Links, Sequence[Any]]  # one entry: the arrays that only the forward pass knew


class Program:
    """`run(fixed, *arrays) -> Result`, compiled if `jit` for each shape of its arguments; `tensors`: how many arrays it takes."""

    def __init__(self, run: Callable[..., Result], tensors: int, jit: bool):
        self.run, self.tensors, self.jit = run, tensors, jit
        self.value = self._compiled(run)
        self._with_residuals: dict[tuple[bool, ...], Callable] = {}
        self._derived: dict[tuple, Program] = {}
        self.pull = self._compiled(_pull)

    def _compiled(self, f: Callable) -> Callable:
        return jax.jit(f) if self.jit else f

    def value_and_residuals(self, needed: tuple[bool, ...]) -> Callable[..., tuple[Result, Residuals]]:
        """One forward pass, prepared for cotangents; `needed`: of each array, whether it is differentiated."""
        found = self._with_residuals.get(needed)
        if found is None:
            moving = tuple(i for i, is_needed in enumerate(needed) if is_needed)
            found = self._with_residuals[needed] = self._compiled(functools.partial(self._forward, moving))
        return found

    def _forward(self, moving: tuple[int, ...], fixed: Fixed, *arrays: Any) -> tuple[Result, Residuals]:
        floats, pullback, others, form = self._vjp(moving, fixed, arrays)
        leaves, tree = jax.tree.flatten(pullback)
        # An argument that is a residual as well is not copied: it is read again later, and PyTorch knows whether it has
        # been overwritten. Without jit its memory is a copy that JAX has already.
        place = {id(x): i for i, x in enumerate(arrays)} if self.jit else {}
        needs = sorted({place[id(leaf)] for leaf in leaves if id(leaf) in place})
        sources, kept = [], []
        for leaf in leaves:
            if id(leaf) in place:
                sources.append(("argument", needs.index(place[id(leaf)])))
            elif self.jit and not is_traced(leaf):
                # What the function closes over would otherwise be copied in every forward pass.
                sources.append(("constant", leaf))
            else:
                sources.append(("residual", len(kept)))
                kept.append(leaf)
        shapes = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in floats]
        return {form: _merged(floats, others)}, {Links(tree, sources, needs, shapes): kept}

    def _vjp(self, moving: tuple[int, ...], fixed: Fixed, arrays: Sequence[Any]):
        """The floating-point results, their pullback, the other results (None where a float is), and the form."""
        # The form leaves the traced function by a list: as a result of it, it would have to be an array.
        forms = []

        def of(*moved):
            form, leaves = opened(self.run(fixed, *_replaced(arrays, moving, moved)))
            forms.append(form)
            floats = [_seen(form, i, y) if _is_inexact(y) else None for i, y in enumerate(leaves)]
            others = [None if _is_inexact(y) else y for y in leaves]
            return [y for y in floats if y is not None], others

        floats, pullback, others = jax.vjp(of, *(arrays[i] for i in moving), has_aux=True)
        return floats, pullback, others, forms[-1]

    def pullback(self, moving: tuple[int, ...], present: tuple[bool, ...]) -> Program:
        """(*arrays, *cotangents) -> the cotangents of the arrays `moving`.

        `present`: of which floating-point results there are cotangents. The forward pass is run again, so that it can be
        differentiated.
        """

        def run(fixed, *given):
            arrays, cts = given[: self.tensors], given[self.tensors :]
            floats, pullback, _, _ = self._vjp(moving, fixed, arrays)
            shapes = [jax.ShapeDtypeStruct(y.shape, y.dtype) for y in floats]
            return result(tuple, _pulled(pullback, shapes, _placed(cts, present)))

        return self._remembered(("pullback", moving, present), run, self.tensors + sum(present))

    def pushforward(self, moving: tuple[int, ...]) -> Program:
        """(*arrays, *tangents) -> the tangents of the floating-point results, along those of the arrays `moving`."""

        def run(fixed, *given):
            arrays, tangents = given[: self.tensors], given[self.tensors :]

            def of(*moved):
                _, leaves = opened(self.run(fixed, *_replaced(arrays, moving, moved)))
                return [y for y in leaves if _is_inexact(y)]

            return result(tuple, jax.jvp(of, tuple(arrays[i] for i in moving), tuple(tangents))[1])

        return self._remembered(("pushforward", moving), run, self.tensors + len(moving))

    def mapped(self, axes: tuple[int | None, ...], size: int) -> Program:
        """The same at every index of an axis of the arrays; the results have it in front."""

        def run(fixed, *arrays):
            over = (None, *axes)
            return jax.vmap(self.run, in_axes=over, axis_size=size)(fixed, *arrays)

        return self._remembered(("mapped", axes, size), run, self.tensors)

    def _remembered(self, name: tuple, run: Callable, tensors: int) -> Program:
        if name not in self._derived:
            self._derived[name] = Program(run, tensors, self.jit)
        return self._derived[name]


def _pull(residuals: Residuals, given: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    links, leaves = opened(residuals)
    return _pulled(links.pullback(leaves, given), links.floats, cts)


def _pulled(pullback: Callable, floats: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
    """The cotangents as PyTorch means them: of a complex number the conjugate of JAX's."""
    full = [jnp.zeros(y.shape, y.dtype) if ct is None else _conjugate(ct) for y, ct in zip(floats, cts, strict=True)]
    return [_conjugate(ct) for ct in pullback(full)]


def _conjugate(x: Any) -> Any:
    return jnp.conj(x) if jnp.iscomplexobj(x) else jnp.asarray(x)


def _is_inexact(y: Any) -> bool:
    return jnp.issubdtype(y.dtype, jnp.inexact)


def _replaced(arrays: Sequence[Any], places: Sequence[int], by: Sequence[Any]) -> list[Any]:
    full = list(arrays)
    for i, x in zip(places, by, strict=True):
        full[i] = x
    return full


def _placed(values: Sequence[Any], present: Sequence[bool]) -> list[Any]:
    """A value for each place, None where there is none."""
    given = iter(values)
    return [next(given) if there else None for there in present]


def _merged(floats: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """A leaf for each place: the others where there is one."""
    given = iter(floats)
    return [next(given) if other is None else other for other in others]


def _seen(form: Form, place: int, y: Any) -> Any:
    """y; where it is differentiated and its derivative is more than a zero of JAX's rules, the form learns of it."""

    # JAX hands a rule that asks for them its symbolic zeros: a result that no argument moves is told from one whose slope
    # happens to be 0.
    @jax.custom_jvp
    def same(y):
        return y

    @functools.partial(same.defjvp, symbolic_zeros=True)
    def jvp(primals, tangents):
        t: Any = tangents[0]
        if isinstance(t, SymbolicZero):
            return primals[0], jnp.zeros_like(primals[0])
        form.alive[place] = True
        return primals[0], t

    return same(y)
