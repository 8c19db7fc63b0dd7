"""`find_gaps` of programs as people write them: the gap at its line and no other, and no alarm where there is none."""

import functools

import pytest
import torch

from spanax.torch.find import find_gaps
from tests.torch.programs import clean_losses, clean_models, combined, decisions, values, wiring

GAPS = values.PROGRAMS + decisions.PROGRAMS + wiring.PROGRAMS + combined.GAPS
CLEAN = clean_losses.PROGRAMS + clean_models.PROGRAMS + combined.CLEAN

# What PyTorch has to say of these programs is what they are here for.
pytestmark = pytest.mark.filterwarnings("ignore")


@functools.cache
def report_of(program):
    run = program.run()
    return find_gaps(run.model, *run.args, loss=run.loss, parameters=run.parameters, optimizer=run.optimizer)


def starved_by_hand(program):
    """The parameters whose gradient is None or 0 after `backward`; None where that raises."""
    run = program.run()
    leaves = run.leaves()
    loss = run.value()
    if not loss.requires_grad or loss.is_leaf:
        return set(leaves)
    try:
        loss.backward()
    except (RuntimeError, NotImplementedError):
        return None
    return {name for name, t in leaves.items() if t.grad is None or not bool(t.grad.to_dense().ne(0).any())}


def lines_of(report):
    places = {(gap.file, gap.line) for gap in report.alarms}
    if report.not_finite is not None:
        places.add((report.not_finite.file, report.not_finite.line))
    return places


@pytest.mark.parametrize("program", GAPS, ids=lambda program: program.name)
def test_gap_is_found_at_its_line(program):
    assert lines_of(report_of(program)) == {(program.file(), program.line())}


@pytest.mark.parametrize("program", CLEAN, ids=lambda program: program.name)
def test_what_is_meant_is_no_alarm(program):
    report = report_of(program)
    assert report.alarms == ()
    assert report.not_finite is None


@pytest.mark.parametrize("program", GAPS + CLEAN, ids=lambda program: program.name)
def test_starved_are_those_without_a_gradient(program):
    expected = starved_by_hand(program)
    if expected is not None:
        assert set(report_of(program).starved) == expected


@pytest.mark.parametrize("program", GAPS, ids=lambda program: program.name)
def test_alarm_names_what_is_starved(program):
    """Where the gap leaves parameters without any gradient, the alarm is about these."""
    run, report = program.run(), report_of(program)
    if report.alarms and set(report.starved) & set(run.leaves()):
        named = {name for gap in report.alarms for name in gap.leaf}
        assert named & set(report.starved)


def test_layer_of_the_same_form_is_no_target_network():
    torch.manual_seed(0)
    report = find_gaps(combined.two_gaps_of_layers_alike(), torch.randn(6, 4), loss=lambda out: (out**2).mean())
    named = {name for gap in report.alarms for name in gap.leaf}
    assert named == {f"{layer}.{what}" for layer in ("first", "second") for what in ("weight", "bias")}


def test_programs_run_as_they_are():
    """The marks stand on lines of programs that run: the table itself is in order."""
    torch.manual_seed(0)
    for program in GAPS:
        assert program.line() > 0
    names = [program.name for program in GAPS + CLEAN]
    assert len(names) == len(set(names))
    assert len(GAPS) >= 45 and len(CLEAN) >= 45
