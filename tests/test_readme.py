"""The README's examples run as printed, it stays short, and its links lead somewhere."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["gap", "expectation"])
def test_examples_run_as_printed(example, capsys):
    (promised,) = re.findall(r"print\(.*\) +# (.*)", example)
    exec(example, {})
    assert capsys.readouterr().out.strip() == promised.split(":")[0]


def test_readme_is_short():
    gap, example = EXAMPLES
    assert len(gap.splitlines()) <= 8 and len(example.splitlines()) <= 15 and len(README.splitlines()) < 120


def test_links_lead_somewhere():
    linked = {target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", README)}
    assert linked and all((ROOT / target).is_file() for target in linked)
