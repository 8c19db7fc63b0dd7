"""Expectations on four devices, under `shard_map` and `pmap`: the numbers of vmap, or an error with a place."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("mesh_programs.py")
ROOT = SCRIPT.parents[2]
THETA = np.array([0.3, -0.2, 0.5, 0.9])


def outcome_of(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def outcome():
    return outcome_of()


def test_devices_give_the_numbers_of_vmap_in_a_few_programs():
    outcome = outcome_of("few")
    assert len(outcome["vmap"]["results"]) == 3
    assert_same(outcome["shard_map"]["results"], outcome["vmap"]["results"])
    assert all(way["errors"].keys() == {"a mean of draws"} for way in outcome.values())


def assert_same(got, want):
    assert got.keys() <= want.keys() and got
    for name, arrays in got.items():
        for one, other in zip(arrays, want[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6, err_msg=name)


ALONE = ["shard_map", "shard_map, check_vma=False", "shard_map, not compiled", "pmap"]


@pytest.mark.slow
@pytest.mark.parametrize("way", ALONE)
def test_devices_give_the_numbers_of_vmap(outcome, way):
    assert len(outcome["vmap"]["results"]) > 30
    assert_same(outcome[way]["results"], outcome["vmap"]["results"])


@pytest.mark.slow
def test_the_derivative_by_what_all_devices_share_is_summed_over_them(outcome):
    want = {
        name: [*arrays[:-1], np.full(4, np.sum(arrays[-1]))]
        for name, arrays in outcome["shared theta, vmap"]["results"].items()
    }
    assert not outcome["shared theta, vmap"]["errors"] and len(want) == 11
    assert_same(outcome["shared theta"]["results"], want)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["vmap", "shard_map", "shard_map, check_vma=False", "pmap"])
def test_a_collective_of_what_no_scored_draw_reaches(outcome, way):
    """The derivative is that of the sum of all lanes' expectations: JAX's own rule for a collective under vmap(grad)."""
    # sum_l theta_l p m with p = sigmoid(sum of theta), m = mean of theta; Enumerate has no noise
    total, mean, p = THETA.sum(), THETA.mean(), sigmoid(THETA.sum())
    value, slope = outcome[way]["results"]["sum of parameters"]
    np.testing.assert_allclose(value, THETA * p * mean, rtol=1e-5)
    np.testing.assert_allclose(slope, p * mean + total * p * (1 - p) * mean + total * p / 4, rtol=1e-5)
    # sum_l theta_l m with m = mean of the draws theta_l + noise_l
    value, slope = outcome[way]["results"]["mean of pathwise draws"]
    drawn = np.array(value) / THETA
    np.testing.assert_allclose(drawn, drawn[0], rtol=1e-5)
    np.testing.assert_allclose(slope, drawn[0] + total / 4, rtol=1e-5)


REFUSED = {
    "vmap": {"a mean of draws": "`psum` over the axis 'i'"},
    "shard_map": {"a sum behind branches": "Enumerate.* in a branch of a cond, and a `psum_invariant`"},
    "shard_map, check_vma=False": {"a mean of draws": "`psum` over the axis 'i'"},
    "shard_map, not compiled": {},
    "pmap": {"a mean of draws": "`psum` over the axis 'i'"},
    "shared theta": {
        "a mean of draws": "`psum_invariant` over the axis 'i'",
        "a shared branch": r"a `cond` that each device along the mesh axes \['i'\] decides by itself",
        "a shared carry": r"a `while` that each device along the mesh axes \['i'\] decides by itself",
        "a_baseline_of_its_own": r"the costs are the same on all devices along the mesh axes \['i'\], and a baseline",
        "a_temperature_of_its_own": r"GumbelSoftmax.* at 'z' makes draws that differ from device to device along \['i'\]",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("way", REFUSED)
def test_what_would_be_wrong_on_devices_is_refused(outcome, way):
    errors = outcome[way]["errors"]
    assert errors.keys() == REFUSED[way].keys()
    for name, problem in REFUSED[way].items():
        assert re.match(rf"(?s)SpanaxError: .*{problem}.*\n  at .*mesh_programs\.py:\d+.*\n  \(a\) ", errors[name]), (
            name
        )
