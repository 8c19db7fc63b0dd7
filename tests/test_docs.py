"""The examples of the documentation run, and its reference names everything that is public."""

import linecache
import pathlib
import re

import pytest

import spanax as sx

PAGES = sorted((pathlib.Path(__file__).parent.parent / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_examples_run(page):
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)):
        name = f"<example {number} of {page.name}>"
        linecache.cache[name] = (
            len(example),
            None,
            example.splitlines(True),
            name,
        )  # as a notebook does: there is a source
        exec(compile(example, name, "exec"), {})


def public(module):
    return {name for name, value in vars(module).items() if callable(value) and not name.startswith("_")}


def test_reference_is_complete():
    (page,) = (p for p in PAGES if p.stem == "api")
    named = set(re.findall(r"::: spanax\.(\w+)", page.read_text()))
    assert named == public(sx) | {"bridges", "control", "gaps", "hard", "judge", "testing"}
    assert set(re.findall(r"::: spanax\.control\.(\w+)", page.read_text())) == public(sx.control)
