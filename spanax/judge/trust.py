"""`trust`: is the derivative of a simulator's step the derivative of its values? Told from a few evaluations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Key

from .._checks import check_key, check_whole, is_number
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import join_keywords
from .._jaxprs import here
from .._layout import WIDTH, filled, table
from ..gaps.report import Gap
from ._trust.examine import Found, examine
from ._trust.mix import Mix, mix
from ._trust.step import Step

_LEAST = 16  # probes
_NOISY = 10.0  # times the smoothed derivative, the spread at a single point that makes a right one useless


@dataclasses.dataclass(frozen=True)
class OutputTrust:
    """One number that the step returns, and its derivative by all inputs together, a vector.

    - `name`: such as "velocity[0]"; `flagged`: its analytic derivative is not to be used;
    - `why`: "right"; "noisy" (right, but at a single point it varies by more than 10 times the smoothed one's size); "jump" (its
      value jumps, and the derivative cannot know); "wrong" (a rule is wrong, or cut); "dead" (0, and the value changes); "nan";
      "none" (there is no derivative); "still" (the value does not change within sigma);
    - `p_value`: of "right", of this output by itself; NaN where there is no derivative;
    - `ratio`: of what the analytic derivative makes of the perturbations to what the values change; 1 if it is right, negative if
      it points the other way; NaN where the value does not change;
    - `analytic`, `zeroth_order`: the derivative of E f(x + sigma u), u standard normal, by the mean of the analytic
      derivative and by values alone, and their standard errors; `weight`: of the analytic one in the mix, `derivative`;
    - `gaps`: the lines behind a flag, where they can be told; `point`: the inputs at a jump, as one vector, else None.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> (floor,) = sx.trust(lambda x: jnp.floor(x), 0.95, key=jax.random.key(0)).outputs
    >>> floor.why, floor.gaps[0].operation
    ('dead', 'floor')
    """

    name: str
    flagged: bool
    why: str
    p_value: float
    ratio: float
    analytic: Float[np.ndarray, " d"]
    zeroth_order: Float[np.ndarray, " d"]
    analytic_errors: Float[np.ndarray, " d"]
    zeroth_order_errors: Float[np.ndarray, " d"]
    weight: float
    derivative: Float[np.ndarray, " d"]
    gaps: tuple[Gap, ...]
    point: Float[np.ndarray, " d"] | None

    @property
    def verdict(self) -> str:
        """In words, such as "wrong by 2.7x where it jumps"."""
        words = {
            "right": "right",
            "noisy": "right, but too noisy to be of use",
            "nan": "NaN or infinite, where the value is finite",
            "none": "no derivative",
            "still": "the value does not change",
            "dead": "0, and the value changes",
        }
        if self.why in words:
            return words[self.why]
        return _wrong_by(self.ratio) + (" where it jumps" if self.why == "jump" else "")


def _wrong_by(ratio: float) -> str:
    if not np.isfinite(ratio):
        return "wrong"
    if ratio < 0:
        return f"of the wrong sign (times {ratio:.2g})"
    by = max(ratio, 1 / max(ratio, 1e-6))
    # Beyond that a factor is mostly noise.
    if by >= 20:
        return "almost 0" if ratio < 1 else "far too large"
    # A factor of about 1 is no error of size, and the output is flagged all the same.
    return f"wrong by {by:.2g}x" if by >= 1.05 else "wrong in direction"


@dataclasses.dataclass(frozen=True)
class Trust:
    """What `trust` found about the derivative of a step. It prints as a table.

    - `flagged`: the names of the outputs whose analytic derivative is not to be used; empty, and so false, where there is none;
    - `derivative`: that of the smoothed step E f(x + sigma u), as `jax.jacobian(step, argnums)` returns it: the mix of
      analytic and
      measured derivative of each output, which of those that are flagged is the measured one. None for outputs that are not
      floats;
    - `outputs`: an `OutputTrust` for each number;
    - `evaluations`: of the step, with its derivative or without; `sigma`: as it was given; `inputs`: the names of the
      numbers that were perturbed; `without`: why there is no analytic derivative, where there is none.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def bounce(height, speed):
    ...     height = height + 0.1 * speed
    ...     return jnp.abs(height), jnp.where(height < 0, -0.8 * speed, speed)
    >>> report = sx.trust(bounce, 0.15, -1.0, key=jax.random.key(0))
    >>> report.flagged, [output.why for output in report.outputs]
    (('[1]',), ['right', 'jump'])
    """

    flagged: tuple[str, ...]
    derivative: Any
    outputs: tuple[OutputTrust, ...]
    evaluations: int
    sigma: Any
    inputs: tuple[str, ...]
    function: str
    without: str = ""

    def to_text(self, width: int = WIDTH) -> str:
        """The verdict on each output that is flagged or noisy, and the lines behind it, in lines of at most `width` columns."""
        count, flags = len(self.outputs), len(self.flagged)
        if self.without:
            what = f"no derivative ({self.without}): measured from values alone"
        elif flags:
            what = f"the derivative of {flags} of {count} outputs is not to be used"
        else:
            what = f"no difference found between the derivative and the values, of {count} outputs"
        lines = filled(f"{self.function}: {what} (sigma {self.sigma}, {self.evaluations} evaluations)", width, "  ")
        # Without a derivative each output would have a row, and all would say the same.
        shown = [] if self.without else [o for o in self.outputs if o.why not in ("right", "still")]
        if shown:
            lines += ["", *table(("output", "derivative", "where", "source"), [_row(o) for o in shown], width)]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__


def _row(output: OutputTrust) -> tuple[str, ...]:
    if not output.gaps:
        return output.name, output.verdict, "", ""
    gap, others = output.gaps[0], len(output.gaps) - 1
    place = f"{gap.place} {gap.operation}" + (f" and {others} more" if others else "")
    return output.name, output.verdict, place, gap.source


def trust(
    step: Callable[..., Any],
    *args: Any,
    key: Key,
    sigma: Any = 0.1,
    probes: int = 64,
    argnums: int | Sequence[int] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Trust:
    """Compares the derivative of a simulator's step with its values, near the arguments: contacts, thresholds, wrong rules.

    The derivative of each output is held against its values on random chords through the arguments: along a chord, a step without
    jumps changes by the integral of its derivative, whatever kinks it has. What is missing is tested, over all chords, at
    1% false
    alarms of all outputs together (two independent estimates of the integral on each chord; their product has the mean 0 if the
    derivative is right, however it errs). Then the interval in which most is missing is halved, up to 16 times: a jump stays as
    large as it is, a wrong rule in proportion, and a slope that is only steep is found to be right and its flag is taken back.
    What rises within 1/65536 of a part of a chord counts as a jump.

    Not seen is what no chord meets: a contact farther away than about 2 `sigma`, or one that few chords reach and that changes
    less than 2% of what they do. The verdict is about this neighbourhood, and not about a whole trajectory.

    A step that takes a `key` is tested in the mean over keys, two for each way of a chord, without the search: the
    derivative may be
    pathwise, or an unbiased estimate such as that of `sx.expectation`. With few chords it finds large errors; `check_gradient`
    finds small ones.

    **Arguments:**

    - `step`: any function of arrays that returns arrays, pytrees both: `env.step`, a step of MJX, an `sx.blackbox`, a function in
      plain NumPy. Outputs that are not floats are left out.
    - `*args`: its positional arguments: where it is looked at.
    - `key`: a PRNG key for all that is random here.
    - `sigma`: how far the arguments are perturbed (standard deviation), in their own units: a number, or one for each argument of
      `argnums`. As wide as what the derivative is used over: a step of the optimizer, the noise of exploration.
    - `probes`: evaluations of the step at most, with its derivative or without; 16 or more. What the derivative of a black box
      evaluates itself is not counted.
    - `argnums`: the arguments to differentiate by; None: all that hold floats.
    - `kwargs`: the step's keyword arguments whose names are options here, such as `{"sigma": ...}`.
    - `**keywords`: the step's other keyword arguments. They are held fixed.

    **Returns:**

    A `spanax.judge.Trust`. `flagged`: whose derivative is wrong; `derivative`: one to be used, with values alone where it is
    flagged. With fewer chords (11 of 64 probes) than inputs the measured one is 0 across the chords.

    **Raises:**

    - `SpanaxError`: arguments that do not fit, a step that returns no float, or whose values are not finite.

    Suh et al. 2022 (arXiv:2202.00817): the bias of analytic gradients at contacts, and mixes. Hu et al. 2020 (arXiv:1910.00935,
    section on time of impact): a ball that bounces in fixed steps has a gradient of the wrong sign.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> def fall(height, speed):
    ...     def one(_, state):
    ...         height, speed = state
    ...         height = height + 0.02 * speed
    ...         return height, jnp.where(height < 0, -speed, speed)
    ...     return jax.lax.fori_loop(0, 60, one, (height, speed))[0]
    >>> report = sx.trust(fall, 0.5, -1.0, argnums=0, key=jax.random.key(0))
    >>> report.outputs[0].verdict, round(float(report.derivative))
    ('of the wrong sign (times -0.98) where it jumps', -1)
    """
    where, keywords = here(), join_keywords(keywords, kwargs)
    refuse_foreign(args, keywords, sigma)
    check_key(key)
    check_whole("trust(probes", probes, _LEAST, where=where)
    program = Step(step, args, keywords, argnums, where)
    scales = _scales(program, sigma, where)
    found = examine(program, scales, probes, key, where)
    # A derivative that is right, but steep in places that few points meet, is measured from values as well.
    both = mix(found.chords, found.flagged | found.steep, scales, found.rounding)
    outputs = tuple(_output(program, found, both, o) for o in range(len(program.output_names)))
    flagged = tuple(output.name for output in outputs if output.flagged)
    return Trust(
        flagged,
        program.as_jacobian(both.derivative),
        outputs,
        program.evaluations,
        sigma,
        program.input_names,
        program.function,
        program.without,
    )


def _scales(step: Step, sigma: Any, where: str) -> Float[np.ndarray, " d"]:
    """sigma of each input."""
    nums = step.at.nums
    each = list(sigma) if isinstance(sigma, list | tuple) else [sigma] * len(nums)
    if len(each) != len(nums) or not all(is_number(s) and s > 0 for s in each):
        raise SpanaxError(
            f"trust(sigma={sigma!r})",
            "a positive number, in the units of the arguments",
            f"one for each of the {len(nums)} differentiated arguments",
            where=where,
        )
    of_leaf = [each[nums.index(step.argument(k))] for k in range(len(step.leaves))]
    return np.repeat(np.array(of_leaf, float), [x.size for x in step.leaves])


def _output(step: Step, found: Found, both: Mix, o: int) -> OutputTrust:
    return OutputTrust(
        step.output_names[o],
        bool(found.flagged[o]),
        _why(step, found, both, o),
        float(found.p_values[o]),
        float(both.ratio[o]),
        both.analytic[o],
        both.zeroth_order[o],
        both.analytic_errors[o],
        both.zeroth_order_errors[o],
        float(both.weights[o]),
        both.derivative[o],
        found.places.get(o, ()),
        found.points.get(o),
    )


def _why(step: Step, found: Found, both: Mix, o: int) -> str:
    if step.jacobian is None:
        return "none"
    if found.not_finite[o]:
        return "nan"
    if not found.flagged[o]:
        noisy = found.steep[o] or (not found.still[o] and both.spread[o] > _NOISY)
        return "noisy" if noisy else "still" if found.still[o] else "right"
    # A step function jumps as well; that its derivative is 0 says more.
    return "dead" if found.dead[o] else "jump" if found.jumps[o] else "wrong"
