"""The README's example runs as printed, and its table says what the bridges say of themselves."""

import pathlib
import re

import spanax as sx

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
BRIDGES = [
    sx.Pathwise(),
    sx.ScoreFunction(),
    sx.Enumerate(),
    sx.Componentwise(),
    sx.LeaveOneOut(),
    sx.DisARM(),
    sx.GumbelSoftmax(),
    sx.StraightThrough(),
    sx.ReinMax(),
    sx.Soft(0.1),
    sx.Perturbed(0.1),
    sx.Smoothing(),
    sx.FiniteDifference(),
    sx.SPSA(0.1),
    sx.Manual(vjp=print),
]


def row(bridge):
    facts = bridge.facts
    orders = "all" if facts.orders is None else str(facts.orders)
    return (
        f"| `{type(bridge).__name__}` | {facts.unbiased_for} | {facts.evaluations} | {orders} | {facts.distributions} |"
    )


def test_example_runs_as_printed(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (promised,) = re.findall(r"print\(.*\) +# (.*)", example)
    exec(example, {})
    assert capsys.readouterr().out.strip() == promised


def test_example_is_short():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.splitlines()) <= 15 and len(README.splitlines()) < 110


def test_table_of_bridges():
    assert [line for line in README.splitlines() if line.startswith("| `")] == [row(b) for b in BRIDGES]


def test_every_public_bridge_is_in_the_table():
    concrete = [
        n
        for n, c in vars(sx).items()
        if isinstance(c, type) and issubclass(c, sx.bridges.Bridge) and "facts" in vars(c)
    ]
    assert set(concrete) - {"Bridge"} == {type(b).__name__ for b in BRIDGES}
