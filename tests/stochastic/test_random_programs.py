"""Random programs against their references: none wrong, none refused. `make fuzz` runs a thousand others.

"forced": every draw is given, and the estimates, weighted by the probabilities of all outcomes, sum to the exact
expectation of the estimator. "sampled": as users run them; the mean of thousands of estimates, and of ten and then a hundred
times as many where it looks wrong (false-alarm rate of one comparison: below 1e-12). "enumerated": one evaluation is exact.
"""

import importlib
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spanax._math.pmf import pmf
from spanax.stochastic import _credit, sampling
from spanax.stochastic._interpreter import interpreter as program
from tests.stochastic.programs import judging, writing
from tests.stochastic.programs.growing import CONTAINERS, THETA, grow
from tests.stochastic.programs.judging import judge
from tests.stochastic.programs.language import Block, Cost, Draw, Let, RandomProgram, Scan, walk
from tests.stochastic.programs.reference import Reference
from tests.stochastic.programs.reporting import report

expectation = importlib.import_module("spanax.stochastic.expectation")  # the module: the function has its name
enumeration = importlib.import_module("spanax.bridges.enumerate")
SEEDS = {"forced": (5, 15), "sampled": (3, 10), "enumerated": (2, 15)}  # how many, and programs of each
PART = 5  # programs
PARTS = [
    pytest.param(mode, 1000 + seed, first, marks=[pytest.mark.slow] if seed or first else [])
    for mode, (seeds, programs) in SEEDS.items()
    for seed in range(seeds)
    for first in range(0, programs, PART)
]


@pytest.mark.parametrize("mode, seed, first", PARTS)
@pytest.mark.filterwarnings("ignore::spanax.SpanaxWarning")
def test_random_programs(mode, seed, first):
    faults = []
    for number in range(first, first + PART):
        program = grow(seed, number, mode, frozenset(), holders=1)
        verdict = judge(program, mode, number)
        if verdict.kind != "right":
            faults.append(report(program, mode, seed, number, verdict))
    assert not faults, "\n".join(faults)


# -- the reference, and what the generator catches


def bernoulli(of, slot, via="sx.ScoreFunction()"):
    return Draw("Bernoulli(logits)", of, via, slot)


TWO_COINS = RandomProgram(
    Block((bernoulli(0, 0), Cost(3), bernoulli(3, 1), Cost(4), Let("mul", 4, 3)), "unpack"),
    slots=(2, 2),
    samples=1,
    dtype="float64",
    order=2,
    transform="grad",
)


def test_the_reference_by_hand():
    """z ~ B(t), w ~ B(z): E[z + w + z w] = p + (p q1 + (1 - p) / 2) + p q1, with q1 = sigmoid(1)."""
    p, q = 1 / (1 + np.exp(-THETA[0])), 1 / (1 + np.exp(-1))
    slope, reference = 0.5 + 2 * q, Reference(TWO_COINS)
    np.testing.assert_allclose(reference.expectation(THETA), 0.5 + slope * p)
    np.testing.assert_allclose(reference.gradient(THETA), [slope * p * (1 - p), 0, 0], atol=1e-9)
    curvature = slope * p * (1 - p) * (1 - 2 * p) * judging.DIRECTION[0]
    np.testing.assert_allclose(reference.curvature(THETA, judging.DIRECTION), [curvature, 0, 0], atol=1e-7)
    assert judge(TWO_COINS, "forced").kind == judge(TWO_COINS, "sampled").kind == "right"


# Faults that are planted, each with the mode that is to catch it.


def a_cost_is_dropped(patch):
    pays = _credit._Credit.pays
    patch(_credit._Credit, "pays", lambda self, sites: pays(self, sites) & (np.arange(len(self.costs)) > 0))


def past_scores_are_dropped(patch):
    before = _credit._Credit.before
    patch(_credit._Credit, "before", lambda self, sites: np.zeros_like(before(self, sites)))


def later_passes_are_not_paid_for(patch):
    patch(_credit, "_later", lambda x, axis, *, inclusive: x if inclusive else jnp.zeros_like(x))


def the_score_has_the_wrong_sign(patch):
    def wrong(*args):
        z, score = sampling.with_score(*args)
        return z, -score

    patch(program, "with_score", wrong)


def a_derivative_is_stopped(patch):
    patch(_credit._Credit, "advantage", lambda self, s, togo, mean: lax.stop_gradient(togo))


def leave_one_out_leaves_nobody_out(patch):
    mean = lambda samples, togo: (
        None if samples == 1 else expectation.sum_over_vmap(togo, expectation._REPLICATES) / samples
    )
    patch(expectation, "_mean_of_others", mean)


def two_draws_share_a_key(patch):
    patch(expectation, "check_keys", lambda *args: None)
    for how in writing.KEYS:
        patch(writing.KEYS, how, "{key}")


def enumeration_forgets_a_weight(patch):
    patch(enumeration, "pmf", lambda d: _flattened(*pmf(d)))


def _flattened(values, weights):
    return values, 0.9 * weights + 0.1 * lax.stop_gradient(weights)


WITH = lambda *kinds: set(CONTAINERS) - set(kinds)  # of what holds blocks, only these
FAULTS = [  # the mode that is to catch it, what the programs are without, and which of them it can touch
    (a_cost_is_dropped, "forced", WITH(), lambda p: True),
    (past_scores_are_dropped, "forced", WITH(), lambda p: p.order == 2),
    (later_passes_are_not_paid_for, "forced", WITH("scan"), lambda p: any(isinstance(s, Scan) for s in walk(p.block))),
    (the_score_has_the_wrong_sign, "forced", WITH(), lambda p: True),
    (a_derivative_is_stopped, "forced", WITH(), lambda p: p.order == 2),
    (leave_one_out_leaves_nobody_out, "sampled", WITH(), lambda p: p.samples > 1),
    (two_draws_share_a_key, "sampled", WITH(), lambda p: len(p.slots) > 1),
    (enumeration_forgets_a_weight, "enumerated", WITH(), lambda p: True),
]


@pytest.mark.few(2)
@pytest.mark.parametrize("plant, mode, without, suits", FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
@pytest.mark.filterwarnings("ignore::spanax.SpanaxWarning")
def test_a_planted_fault_is_caught(plant, mode, without, suits, monkeypatch):
    """Within ten programs that it touches."""
    set_item = lambda owner: monkeypatch.setitem if isinstance(owner, dict) else monkeypatch.setattr
    plant(lambda owner, name, value: set_item(owner)(owner, name, value))
    programs = filter(suits, (grow(5, number, mode, frozenset(without), holders=1) for number in itertools.count()))
    assert any(judge(program, mode).kind == "wrong" for program in itertools.islice(programs, 10))
