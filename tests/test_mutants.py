"""The faults of `make mutants` fit the package as it is: each has its place, and its tests."""

import subprocess

import pytest

from .mutants.__main__ import ROOT, judged, planted
from .mutants.faults import FAULTS


def test_there_are_enough_of_them_and_none_twice():
    assert len({fault.name for fault in FAULTS}) == len({fault[1:4] for fault in FAULTS}) == len(FAULTS) >= 24


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_its_place_and_its_tests(fault):
    source = (ROOT / "spanax" / fault.file).read_text()
    changed = planted(fault, source)
    assert changed != source
    compile(changed, fault.file, "exec")
    assert all((ROOT / "tests" / test).is_file() for test in fault.tests.split())


def test_a_place_that_has_moved_is_told():
    with pytest.raises(ValueError, match=r"is in spanax/bridges/disarm\.py 0 times"):
        planted(next(fault for fault in FAULTS if fault.file == "bridges/disarm.py"), "")


@pytest.mark.parametrize(
    "status, verdict", [(0, "SURVIVED"), (1, "caught"), (2, "NOT TRIED"), (5, "NOT TRIED"), (-9, "NOT TRIED")]
)
def test_tests_that_do_not_run_catch_nothing(status, verdict):
    ended = subprocess.CompletedProcess([], status, "FAILED tests/test_a.py::test_b[a case] - assert False\n")
    assert judged(ended)[0] == verdict
    assert verdict != "caught" or judged(ended)[1] == "tests/test_a.py::test_b[a case]"
