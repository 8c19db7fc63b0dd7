"""A policy and its rewards: what is drawn from it, how probable that is, and whether it is a policy at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from ..._errors import SpanaxError
from ..._jaxprs import defined
from ..._pytree import PyTree


class World:
    """The policy `logits` and its `reward`, for each of the prompts (None: there are none)."""

    def __init__(
        self, logits: Callable, reward: Callable, vocabulary: int, length: int, end: int | None, prompts: PyTree | None
    ):
        self.logits, self.reward, self.prompts = logits, reward, prompts
        self.vocabulary, self.length, self.end = vocabulary, length, end
        self.count = 1 if prompts is None else _count(prompts)
        self._checked: set[Any] = set()

    def by_prompt(self, f: Callable[..., Any], *batched: Any) -> Any:
        """f(*batched, *prompt) for each prompt, along a leading axis."""
        if self.prompts is None:
            return jax.tree.map(lambda x: x[None], f(*(x[0] for x in batched)))
        return jax.vmap(f)(*batched, self.prompts)

    def noise(self, params: PyTree, key: Key[Array, ""], group: int) -> Float[Array, "prompts group length vocabulary"]:
        """What the draws of all sequences are made of (the Gumbel-max trick)."""
        # All at once: a call for each token costs more than the tokens do.
        return jax.random.gumbel(key, (self.count, group, self.length, self.vocabulary), self.dtype(params))

    def draw(
        self, params: PyTree, noise: Float[Array, "group length vocabulary"], prompt: tuple
    ) -> Int[Array, "group length"]:
        def token(tokens, at):
            t, noise = at
            drawn = jnp.argmax(self.logits(params, tokens, *prompt)[t] + noise).astype(tokens.dtype)
            if self.end is not None:
                # Nothing but ends follows an end.
                ended = jnp.any((jnp.arange(self.length) < t) & (tokens == self.end))
                drawn = jnp.where(ended, jnp.asarray(self.end, tokens.dtype), drawn)
            return tokens.at[t].set(drawn), None

        def sequence(noise):
            start = jnp.full(self.length, 0, jnp.int32)
            return lax.scan(token, start, (jnp.arange(self.length), noise))[0]

        return jax.vmap(sequence)(noise)

    def log_probs(self, params: PyTree, tokens: Int[Array, "n length"], prompt: tuple) -> Float[Array, "n length"]:
        def one(tokens):
            every = jax.nn.log_softmax(self.logits(params, tokens, *prompt), axis=-1)
            return jnp.take_along_axis(every, tokens[:, None], axis=1)[:, 0]

        return jax.vmap(one)(tokens)

    def rewards(self, tokens: Int[Array, "n length"], prompt: tuple, dtype: Any) -> Float[Array, " n"]:
        return lax.stop_gradient(jax.vmap(lambda one: jnp.asarray(self.reward(one, *prompt)).astype(dtype))(tokens))

    def check(self, params: PyTree) -> None:
        """Raises `SpanaxError` unless this is a policy: shapes, and that no row depends on its own token or a later one."""
        leaves, tree = jax.tree.flatten(params)
        # Many losses are compared in one world, and it is checked once for them.
        kind = tree, tuple((np.shape(x), jnp.result_type(x)) if _is_array(x) else id(x) for x in leaves)
        if kind not in self._checked:
            self._check_shapes(params)
            self._check_order(params)
            self._checked.add(kind)

    def dtype(self, params: PyTree) -> Any:
        return self._shape_of_logits(params).dtype

    def _shape_of_logits(self, params: PyTree) -> Any:
        # Closed over, not arguments: parameters may hold functions, which have no shape.
        return jax.eval_shape(lambda: self.logits(params, self._tokens(), *self._prompt()))

    def _check_shapes(self, params: PyTree) -> None:
        out = self._shape_of_logits(params)
        shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", object)
        if shape != (self.length, self.vocabulary) or not jnp.issubdtype(dtype, jnp.floating):
            raise SpanaxError(
                f"logits must return floats of shape [{self.length}, {self.vocabulary}], and it returned "
                f"{f'{dtype}{list(shape)}' if shape is not None else type(out).__name__}",
                "a row of logits for each position, with one number for each token",
                where=defined(self.logits),
            )
        earned = self._shape_of_reward()
        got = getattr(earned, "shape", None)
        if got != ():
            raise SpanaxError(
                f"reward must return one number, and it returned {type(earned).__name__ if got is None else list(got)}",
                "a number for a whole sequence",
                where=defined(self.reward),
            )

    def _shape_of_reward(self) -> Any:
        try:
            return jax.eval_shape(lambda: self.reward(self._tokens(), *self._prompt()))
        except jax.errors.JAXTypeError as error:  # NumPy's functions, or an `if` on tokens
            raise SpanaxError(
                "reward needs the values of its tokens, and it is traced: it must be a JAX function",
                "jax.numpy in the place of NumPy, and jnp.where in that of `if`",
                "jax.pure_callback(reward, jax.ShapeDtypeStruct((), float), tokens, vmap_method='sequential')",
                where=defined(self.reward),
            ) from error

    def _check_order(self, params: PyTree) -> None:
        """By trying: parameters of the same shapes, and tokens that differ from some position on."""
        random = np.random.default_rng(0)
        tokens = random.integers(self.vocabulary, size=self.length).astype(np.int32)
        later = np.arange(self.length)[None, :] >= np.arange(self.length)[:, None]
        changed = np.where(later, (tokens + 1) % self.vocabulary, tokens).astype(np.int32)
        # While a program is traced, parameters have no values; which tokens matter does not depend on them.
        stand_in = jax.tree.map(lambda x: _like(x, random), params)
        prompt = self._prompt()
        with jax.ensure_compile_time_eval():
            run = jax.jit(jax.vmap(lambda tokens: self.logits(stand_in, tokens, *prompt)))
            try:
                of_all = np.asarray(run(np.concatenate([tokens[None], changed])))
            except jax.errors.TracerArrayConversionError:  # logits hold a traced array: nothing can be tried
                return
        for t, one in enumerate(of_all[1:]):
            if not np.allclose(one[: t + 1], of_all[0, : t + 1], rtol=1e-3, atol=1e-4, equal_nan=True):
                raise SpanaxError(
                    "the logits of a token depend on that token or on later ones, which a policy has not written yet",
                    "row t of logits(params, tokens) is a function of tokens[:t]: shift the tokens by one, or mask them",
                    where=defined(self.logits),
                )

    def _tokens(self) -> Int[Array, " length"]:
        return jnp.zeros(self.length, jnp.int32)

    def _prompt(self) -> tuple:
        """The first one."""
        return () if self.prompts is None else (jax.tree.map(lambda x: x[0], self.prompts),)


def fixed(params: PyTree) -> PyTree:
    """Without a derivative; what is no array as it is."""
    return jax.tree.map(lambda x: lax.stop_gradient(x) if _is_array(x) else x, params)


def _count(prompts: PyTree) -> int:
    sizes = {np.shape(x)[:1] for x in jax.tree.leaves(prompts)}
    if len(sizes) != 1 or not next(iter(sizes)) or not next(iter(sizes))[0]:
        raise SpanaxError(
            "prompts= must be arrays with one leading axis, over one prompt or more", "prompts=jnp.arange(3)"
        )
    return next(iter(sizes))[0]


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _like(x: Any, random: np.random.Generator) -> Any:
    """A constant of its shape and dtype: of floats random ones."""
    if not _is_array(x):
        return x
    if jnp.issubdtype(x.dtype, jnp.floating):
        return np.asarray(random.normal(size=x.shape)).astype(x.dtype)
    return np.zeros(x.shape, x.dtype)
