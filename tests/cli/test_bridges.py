"""The command `spanax bridges`."""

import inspect
import json

from typer.testing import CliRunner

import spanax as sx
from spanax.cli._app import app


def bridges(*options):
    result = CliRunner().invoke(app, ["bridges", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def concrete():
    values = [value for value in vars(sx).values() if inspect.isclass(value) and issubclass(value, sx.bridges.Bridge)]
    return {value.__name__ for value in values if not inspect.isabstract(value)}


def test_every_concrete_bridge_is_listed_once_within_80_columns():
    lines = bridges().splitlines()
    names = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    listed = [name for name in names if name in concrete()]
    assert sorted(listed) == sorted(concrete()) and len(listed) >= 14
    assert max(map(len, lines)) <= 80


def test_json_holds_the_facts():
    rows = {row["name"]: row for row in json.loads(bridges("--json"))}
    assert rows.keys() == concrete()
    facts = sx.LeaveOneOut().facts
    assert rows["LeaveOneOut"] == {
        "name": "LeaveOneOut",
        "call": "LeaveOneOut(samples=2)",
        "kinds": ["Branching"],
        "unbiased": True,
        "unbiased_for": facts.unbiased_for,
        "evaluations": facts.evaluations,
        "orders": None,
        "distributions": facts.distributions,
        "source": facts.source,
    }
    assert rows["StraightThrough"]["kinds"] == ["Local", "Step"] and rows["DisARM"]["orders"] == 1


def test_the_table_says_what_json_says():
    words = " ".join(bridges().split())
    for row in json.loads(bridges("--json")):
        assert " ".join(f"For: {row['unbiased_for']}. Source: {row['source']}.".split()) in words
