"""Where each public name lives: functions and bridges at the top, base classes and returned records in their part."""

import inspect
import subprocess
import sys

import pytest

import spanax as sx

FUNCTIONS = """
    assert_alive blackbox check_gradient command compare cost custom descend event expect expectation find_gaps find_jumps
    fit_surrogate gradient hidden_gradient least_squares lift load_surrogate processes quasi_newton ray_executor recommend
    sample scipy_objective smooth soften trust value_and_gradient
""".split()
BRIDGES = """
    Componentwise DisARM Enumerate FiniteDifference GumbelSoftmax LeaveOneOut Manual Pathwise Perturbed ReinMax SPSA
    ScoreFunction Smoothing Soft StraightThrough Surrogate
""".split()
OBJECTS = """
    BlackBox Check Command Descent Fit Guide MovingAverage Output Run ScipyObjective SpanaxError SpanaxWarning Stats Store
    SurrogateModel
""".split()
IN_PARTS = {
    "bridges": "Bounded Box Branching Bridge Drawing Facts Learning Local Operation Probing Score Scored Step Tuned".split(),
    "gaps": "Gap GapReport HiddenGradient Jump JumpReport".split(),
    "judge": "Comparison CustomGradient GradientCheck Group Interval OutputTrust PolicyAudit Row Trust Truth".split(),
    "surrogate": "DescentError Iterate SmoothedJump SurrogateReport".split(),
    "testing": "ContractError Outcome Report check_bridge".split(),
}
MODULES = "bridges control gaps hard judge surrogate testing".split()


def test_the_top_has_these_names_and_no_others():
    at_top = {name for name, value in vars(sx).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert at_top - {"TYPE_CHECKING"} == {*FUNCTIONS, *BRIDGES, *OBJECTS}


def test_what_is_called_a_bridge_is_one_that_can_be_made():
    for name in BRIDGES:
        assert issubclass(getattr(sx, name), sx.bridges.Bridge) and not inspect.isabstract(getattr(sx, name))


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in IN_PARTS.items() for name in names])
def test_base_classes_and_records_are_in_their_part(part, name):
    assert hasattr(getattr(sx, part), name)
    assert not hasattr(sx, name)


def test_parts_need_no_import_of_their_own():
    script = (
        "import sys, spanax as sx; "
        "assert 'spanax.testing' not in sys.modules; "  # it costs, and a program in production does not check bridges
        f"print([name for name in {MODULES} if getattr(sx, name).__name__ != 'spanax.' + name])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert not hasattr(sx, "tasting")
