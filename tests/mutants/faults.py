"""The faults: in which file what is replaced by what, and the tests of that part, which are to fail.

Each is the kind of slip that gives a wrong number and no error. The text has to be in its file exactly once.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    name: str
    file: str  # below spanax/
    text: str
    replacement: str
    tests: str  # below tests/


FAULTS = [
    Fault(
        "the sign of the score in the surrogate",
        "stochastic/_credit.py",
        "jnp.sum(jnp.exp(past) * jnp.expm1(score) * jnp.stack(advantage))",
        "jnp.sum(jnp.exp(past) * -jnp.expm1(score) * jnp.stack(advantage))",
        "stochastic/test_credit.py stochastic/test_expectation.py",
    ),
    Fault(
        "a draw that reaches a cost gets none of it",
        "stochastic/_credit.py",
        "[[c in self.crossed[s] and not self.shared_loops(s, c) for c",
        "[[c in self.crossed[s] and c == self.costs[0] for c",
        "stochastic/test_credit.py",
    ),
    Fault(
        "costs to go are stopped, which only second derivatives see",
        "stochastic/_credit.py",
        "self.events.bridges[s].advantage(togo, mean)",
        "self.events.bridges[s].advantage(lax.stop_gradient(togo), mean)",
        "stochastic/test_credit.py",
    ),
    Fault(
        "past scores are dropped, which only second derivatives see",
        "stochastic/_credit.py",
        "jnp.sum(jnp.exp(past) * jnp.expm1(score) * self.advantage",
        "jnp.sum(jnp.expm1(score) * self.advantage",
        "stochastic/test_structures.py",
    ),
    Fault(
        "costs of earlier iterations for those of later ones",
        "stochastic/_credit.py",
        "through = lax.cumsum(x, axis, reverse=True)",
        "through = lax.cumsum(x, axis)",
        "stochastic/test_structures.py",
    ),
    Fault(
        "a reversed scan's events stay in reversed order",
        "stochastic/_interpreter/structures.py",
        "jnp.flip(x, 0), events)",
        "x, events)",
        "stochastic/test_structures.py",
    ),
    Fault(
        "no check of keys",
        "stochastic/expectation.py",
        "        check_keys(closed, samples > 1, replicate.override)\n",
        "",
        "stochastic/test_keys.py",
    ),
    Fault(
        "the mean over all replicates instead of the others",
        "stochastic/expectation.py",
        "return (sum_over_vmap(togo, _REPLICATES) - togo) / (samples - 1)",
        "return sum_over_vmap(togo, _REPLICATES) / samples",
        "stochastic/test_expectation.py stochastic/test_credit.py",
    ),
    Fault(
        "leave-one-out leaves nobody out",
        "bridges/leave_one_out.py",
        "(jnp.sum(costs) - costs) / (self.samples - 1)",
        "jnp.sum(costs) / self.samples",
        "bridges/test_unbiased.py",
    ),
    Fault("DisARM without its half", "bridges/disarm.py", "0.5 * difference", "difference", "bridges/test_unbiased.py"),
    Fault(
        "straight-through with the mean for its value",
        "bridges/straight_through.py",
        'first_order(_identity, "StraightThrough()", z, (), mean)',
        'first_order(_identity, "StraightThrough()", mean, (), mean)',
        "bridges/test_biased.py bridges/test_draws.py",
    ),
    Fault(
        "Gumbel-softmax multiplied by its temperature",
        "bridges/gumbel_softmax.py",
        "jax.random.gumbel(key, logits.shape, logits.dtype)) / self.temperature",
        "jax.random.gumbel(key, logits.shape, logits.dtype)) * self.temperature",
        "bridges/test_biased.py bridges/test_edges.py",
    ),
    Fault(
        "ReinMax without the half of its second term",
        "bridges/reinmax.py",
        "sigmoid(-logits) / 2) * d_logits",
        "sigmoid(-logits)) * d_logits",
        "bridges/test_biased.py bridges/test_reinmax_polynomial.py",
    ),
    Fault(
        "the wrong derivative of log p at logits of 0",
        "_math/formulas.py",
        "jnp.where(z > 0, jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits))",
        "z * jnp.maximum(logits, 0) - (1 - z) * jnp.maximum(logits, 0) - jnp.log1p(jnp.exp(-jnp.abs(logits)))",
        "bridges/test_unbiased.py bridges/test_edges.py",
    ),
    Fault(
        "both points of an antithetic pair on the same side",
        "bridges/_probing/probes.py",
        "jnp.concatenate([leaf[None] + move, leaf[None] - move])",
        "jnp.concatenate([leaf[None] + move, leaf[None] + move])",
        "bridges/test_smoothing_bridge.py",
    ),
    Fault(
        "a dropped pair counts in the mean",
        "bridges/smoothing.py",
        "whole.astype(dtype) * (len(whole) / jnp.sum(whole).astype(dtype))",
        "whole.astype(dtype)",
        "bridges/test_smoothing_bridge.py bridges/test_probing_table.py",
    ),
    Fault(
        "orthogonal directions without their lengths",
        "_math/directions.py",
        "(signs * lengths)[:, None, :]",
        "(signs * size**0.5)[:, None, :]",
        "bridges/test_smoothing_bridge.py",
    ),
    Fault(
        "finite differences by twice the step",
        "bridges/finite_difference.py",
        "contract(rise, ct, dtype) / run)",
        "contract(rise, ct, dtype) / (2 * run))",
        "bridges/test_finite_difference.py",
    ),
    Fault(
        "the guide's mean is not added again",
        "bridges/_probing/linear_guide.py",
        "gradient(change - c * along, u) + jnp.mean(c) * direction",
        "gradient(change - c * along, u)",
        "smoothing/test_smooth_unbiased.py",
    ),
    Fault(
        "soft comparisons the other way round",
        "smoothing/_soften/steps.py",
        "noise.positive(gap, softness), hard",
        "noise.positive(-gap, softness), hard",
        "smoothing/test_soften_operations.py",
    ),
    Fault(
        "the weights of a quantile's neighbours exchanged",
        "hard/quantiles.py",
        "low * (1 - upper) + high * upper",
        "low * upper + high * (1 - upper)",
        "hard/test_quantiles.py",
    ),
    Fault(
        "Perturbed over half of its change",
        "bridges/perturbed.py",
        "up - down) / (2 * sigma)",
        "up - down) / sigma",
        "bridges/test_perturbed.py",
    ),
    Fault(
        "evaluations of one replicate are found for another",
        "blackbox/store/_layout.py",
        "operator.index(replicate).to_bytes",
        "(0 * operator.index(replicate)).to_bytes",
        "blackbox/test_store.py blackbox/test_remembering.py",
    ),
    Fault(
        "what a damaged file holds is believed",
        "blackbox/store/_rows.py",
        " and _checksum(digest, output, seconds) == checksum",
        "",
        "blackbox/test_store_files.py",
    ),
    Fault(
        "points that fail on one side are let pass",
        "blackbox/_balance.py",
        "if p - math.log(part) < limit:",
        "if p - math.log(part) < 3 * limit:",
        "blackbox/test_balance.py",
    ),
    Fault(
        "branches of a lifted `if` exchanged",
        "program/_flow/branches.py",
        "return lax.cond(chosen, then, orelse)",
        "return lax.cond(chosen, orelse, then)",
        "program/test_lift.py",
    ),
    Fault(
        "a lifted loop hands on what it was given",
        "program/_flow/loop.py",
        "return settled.plan.outputs(1, outputs), appended.outputs(0, outputs)",
        "return list(leaves), appended.outputs(0, outputs)",
        "program/test_lift.py",
    ),
    Fault(
        "a lifted loop that is guarded goes on after its end",
        "program/_flow/loop.py",
        "*(jnp.where(runs, b, a) for",
        "*(b for",
        "program/test_lift.py",
    ),
    Fault(
        "check_gradient allows for a hundred times its tolerance",
        "judge/check_gradient.py",
        "np.maximum(np.abs(difference) - tolerance, 0)",
        "np.maximum(np.abs(difference) - 100 * tolerance, 0)",
        "judge/test_check_gradient.py",
    ),
    Fault(
        "check_gradient calls NaN right",
        "judge/check_gradient.py",
        "if np.all(finite) else 0.0",
        "if np.all(finite) else 1.0",
        "judge/test_check_gradient.py",
    ),
    Fault(
        "the interval of a bias without the noise of the estimate",
        "judge/_measure/statistics.py",
        "high = square + math.sqrt(z2 * (noise + 4",
        "high = square + math.sqrt(z2 * 0 * (noise + 4",
        "judge/test_statistics.py",
    ),
    Fault(
        "the noise of the truth is left out of the test of a bias",
        "judge/_measure/statistics.py",
        "            squares += _variance_under_no_bias(theirs, apart, parts) / theirs.draws\n",
        "",
        "judge/test_statistics.py",
    ),
    Fault(
        "a part of the gradient that is cut is called piecewise",
        "gaps/find.py",
        '        return "partial"\n    return "piecewise" if',
        '        return "piecewise"\n    return "piecewise" if',
        "gaps/test_report.py gaps/test_corpus.py",
    ),
    Fault(
        "a dead leaf is hidden by a live one",
        "gaps/find.py",
        'if "dead" in kinds and len(kinds) > 1:',
        'if "dead" in kinds and len(kinds) > 9:',
        "gaps/test_report.py",
    ),
    Fault(
        "windows of truncated backpropagation begin anew",
        "control/bptt.py",
        "if self.truncate else self._begin(task, begin)",
        "if self.truncate and False else self._begin(task, begin)",
        "control/test_bptt.py",
    ),
    Fault(
        "discounted by one step too many",
        "control/policy_gradient.py",
        "jnp.asarray(self.discount, float) ** t",
        "jnp.asarray(self.discount, float) ** (t + 1)",
        "control/test_policy_gradient.py",
    ),
    Fault(
        "the moment of an event has no derivative",
        "control/trebuchet/_event.py",
        "return Path(within(part), ",
        "return Path(within(lax.stop_gradient(part)), ",
        "control/test_trebuchet.py",
    ),
    Fault(
        "an interrupted command says that all went well",
        "_interrupts.py",
        "{signal.SIGINT: 130, ",
        "{signal.SIGINT: 0, ",
        "cli/test_interrupts.py",
    ),
]
