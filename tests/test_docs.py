"""The examples of the documentation run."""

import linecache
import pathlib
import re

import pytest

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
