"""`PolicyAudit`: losses of a language policy, `loss(logp, old_logp, rewards, mask)`, as programs that `compare` judges."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._checks import as_called, check_whole, is_whole
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import check_scalar
from .._jaxprs import defined
from .._pytree import PyTree
from ._policy.sequences import LIMIT, chunks, count_sequences, mask_of
from ._policy.world import World, fixed
from ._truth.reference import EXACT

Loss = Callable[..., Float[Array, ""]]


class PolicyAudit:
    """A policy that writes tokens, and what they earn: is a loss's gradient that of the expected reward?

    A loss is a plain function `loss(logp, old_logp, rewards, mask)`, as trainers of language models have it: log-probabilities
    of the tokens drawn, [group, tokens], now and under the policy that drew them (a constant); rewards [group]; and a mask
    [group, tokens], 1.0 up to and including the end token. It returns a scalar that is minimised. `candidate` makes of it a
    program that draws a group and takes its loss, for `vias` of `spanax.compare`; `expected_loss` is what its gradient should be
    the gradient of: minus the expected reward, summed over all sequences.

    Behind its end a sequence is filled with end tokens, and logp there is what the policy gives them, as in padded batches: a
    loss that forgets the mask is found biased. Of each loss `Row.scale` says how large its mean gradient is along the truth (a
    scale other than 1 is another learning rate), and `Row.across` what no learning rate undoes.

    **Arguments:**

    - `logits`: `logits(params, tokens)`, with tokens int32 [length], returns [length, vocabulary]; row t is for token t, and
      depends on the tokens before it only. With prompts `logits(params, tokens, prompt)`.
    - `reward`: `reward(tokens)`, a number, an integer or a Boolean; any JAX function. With prompts `reward(tokens, prompt)`.
    - `vocabulary`, `length`: how many tokens there are, and the most that are drawn.
    - `end`: the token that ends a sequence; None: all have the same length.
    - `prompts`: a pytree of arrays with one leading axis, over prompts. All losses and rewards are means over them.

    **Raises:**

    - `SpanaxError`: arguments that do not fit; when it is run: logits of another shape or that depend on later tokens, a reward
      that is no number.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def logits(params, tokens):  # two tokens, two positions: a table by position
    ...     return params
    >>> def reward(tokens):
    ...     return tokens[0] + 2 * tokens[1]
    >>> def baseline(logp, old_logp, rewards, mask):
    ...     return -jnp.mean((rewards - jnp.mean(rewards)) * jnp.sum(logp * mask, 1))
    >>> audit = sx.judge.PolicyAudit(logits, reward, vocabulary=2, length=2)
    >>> vias = {"mean of the group": audit.candidate(baseline, group=4)}
    >>> found = sx.compare(audit.expected_loss, jnp.zeros((2, 2)), key=jax.random.key(0), vias=vias)
    >>> found.rows[0].verdict, bool(found.rows[0].scale.high < 1)  # 3/4: each sample is in its own baseline
    ('biased', True)
    """

    def __init__(
        self,
        logits: Callable[..., Float[Array, "length vocabulary"]],
        reward: Callable[..., Any],
        *,
        vocabulary: int,
        length: int,
        end: int | None = None,
        prompts: PyTree | None = None,
    ):
        for name, f in (("logits", logits), ("reward", reward)):
            if not callable(f):
                raise SpanaxError(
                    f"PolicyAudit({name}={f!r}), which cannot be called", "PolicyAudit(logits, reward, ...)"
                )
        check_whole("PolicyAudit(vocabulary", vocabulary, 2)
        check_whole("PolicyAudit(length", length)
        if end is not None and not (is_whole(end, 0) and end < vocabulary):
            raise SpanaxError(as_called("PolicyAudit(end", end), f"a token, 0 to {vocabulary - 1}", "None")
        refuse_foreign(prompts)
        self.logits, self.reward, self.prompts = logits, reward, prompts
        self.vocabulary, self.length, self.end = vocabulary, length, end
        self._world = World(logits, reward, vocabulary, length, end, prompts)

    def __repr__(self) -> str:
        end = "" if self.end is None else f", end={self.end}"
        return f"PolicyAudit(vocabulary={self.vocabulary}, length={self.length}{end})"

    def expected_loss(self, params: PyTree) -> Float[Array, ""]:
        """Minus the expected reward, the mean over prompts: a sum over all sequences, at most 100,000 of them.

        The first argument of `spanax.compare`, as it is: inside a function of yours it would be searched for gaps, and that takes
        gigabytes for thousands of sequences. Where the policy is too large for it, an unbiased candidate is the reference:
        `sx.compare(audit.candidate(rloo), params, key=key, vias=...)`.

        **Arguments:** `params`: the policy's, a pytree.

        **Returns:** a scalar; NaN where the probabilities do not sum to 1, as the logits depend on later tokens then.

        **Raises:** `SpanaxError` for too many sequences.
        """
        refuse_foreign(params)
        count = count_sequences(self.vocabulary, self.length, self.end)
        if count > LIMIT:
            raise SpanaxError(
                f"{self!r} has {count:,} sequences, and {LIMIT:,} can be summed over",
                "fewer tokens, or fewer positions",
                "an unbiased loss for the truth: sx.compare(audit.candidate(rloo), params, key=key, vias=...)",
            )
        self._world.check(params)
        return jnp.mean(self._world.by_prompt(functools.partial(self._expected, params)))

    # Read by `compare`, which would otherwise look for gaps in a sum over thousands of sequences, and that takes gigabytes.
    setattr(expected_loss, EXACT, "every sequence of the policy enumerated")

    def _expected(self, params: PyTree, *prompt: Any) -> Float[Array, ""]:
        world = self._world

        def add(sums, chunk):
            tokens, counts = chunk
            logp = world.log_probs(params, tokens, prompt)
            mask = mask_of(tokens, self.end, logp.dtype)
            chance = jnp.exp(jnp.sum(logp * mask, axis=1)) * counts.astype(logp.dtype)
            earned = chance * world.rewards(tokens, prompt, logp.dtype)
            return (sums[0] + jnp.sum(chance), sums[1] + jnp.sum(earned)), None

        zero = jnp.zeros((), world.dtype(params))
        # Chunk by chunk: all at once, the compiler would fold a table of constants for minutes.
        (whole, earned), _ = lax.scan(add, (zero, zero), chunks(self.vocabulary, self.length, self.end))
        # A factor, not a `where`: that one's derivative would be a silent 0.
        sums_to_one = jnp.abs(whole - 1) < 10 * jnp.sqrt(jnp.finfo(whole.dtype).eps)
        return -earned * jnp.where(sums_to_one, 1.0, jnp.nan).astype(whole.dtype)

    def candidate(
        self, loss: Loss, *, group: int = 8, sampled_by: PyTree | None = None, pooled: bool = False
    ) -> Callable[..., Float[Array, ""]]:
        """A program whose gradient is that of the loss at freshly drawn sequences: `vias={"mine": audit.candidate(mine)}`.

        **Arguments:**

        - `loss`: `loss(logp, old_logp, rewards, mask)`, a scalar.
        - `group`: sequences drawn for each prompt.
        - `sampled_by`: parameters of an older policy, which draws the sequences and gives old_logp; None: the present one.
        - `pooled`: the loss sees the groups of all prompts as one, one below the other, as a loss that normalises over a batch
          does; without it, each group by itself, and the mean of these losses is taken.

        **Returns:** a function of the parameters and a keyword `key`.

        **Raises:** `SpanaxError` for what does not take four arrays; when it is run: for a loss that is not a scalar.

        >>> import jax, jax.numpy as jnp, spanax as sx
        >>> audit = sx.judge.PolicyAudit(lambda params, tokens: params, lambda tokens: tokens[0], vocabulary=2, length=1)
        >>> reinforce = lambda logp, old_logp, rewards, mask: -jnp.mean(rewards * jnp.sum(logp * mask, 1))
        >>> jax.grad(audit.candidate(reinforce, group=2))(jnp.zeros((1, 2)), key=jax.random.key(0)).shape
        (1, 2)
        """
        _check_loss(loss)
        check_whole("candidate(group", group)
        refuse_foreign(sampled_by)
        world, name = self._world, getattr(loss, "__name__", "loss")

        def checked(*batch):
            value = loss(*batch)
            check_scalar(f"the loss {name}", value, defined(loss), "jnp.mean over the group")
            return value

        def program(params, *, key: Key[Array, ""]):
            refuse_foreign(params)
            world.check(params)
            old = fixed(params if sampled_by is None else sampled_by)
            batch = world.by_prompt(lambda noise, *prompt: _drawn(world, params, old, noise, prompt),
                                    world.noise(old, key, group))  # fmt: skip
            if pooled:
                return checked(*(x.reshape(-1, *x.shape[2:]) for x in batch))
            return jnp.mean(jax.vmap(checked)(*batch))

        program.__name__ = name if name.isidentifier() else "loss"
        return program


def _drawn(world: World, params: PyTree, old: PyTree, noise: Any, prompt: tuple) -> tuple[Array, Array, Array, Array]:
    """One group, as a loss sees it: logp, old_logp, rewards and mask."""
    tokens = world.draw(old, noise, prompt)
    logp = world.log_probs(params, tokens, prompt)
    # The same numbers, if the present policy drew them: computed anew, an old policy's ratios would differ from 1 by rounding.
    old_logp = lax.stop_gradient(world.log_probs(old, tokens, prompt))
    mask = mask_of(tokens, world.end, logp.dtype)
    return logp, old_logp.astype(logp.dtype), world.rewards(tokens, prompt, logp.dtype), mask


def _check_loss(loss: Any) -> None:
    remedy = "def loss(logp, old_logp, rewards, mask): ..., of arrays [group, tokens], and [group] for the rewards"
    if not callable(loss):
        raise SpanaxError(f"candidate(loss={loss!r}), which cannot be called", remedy)
    try:
        inspect.signature(loss).bind(None, None, None, None)
    except TypeError as error:
        name = getattr(loss, "__name__", repr(loss))
        raise SpanaxError(f"the loss {name} cannot be called with four arrays: {error}", remedy) from error
    except ValueError:  # a signature that cannot be read: the call itself will tell
        return
