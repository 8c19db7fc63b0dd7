"""The reference names everything that is public, once, by its shortest path, and nothing else."""

import ast
import collections
import importlib
import inspect
import pathlib
import re

import spanax as sx

PAGES = (pathlib.Path(__file__).parent.parent.parent / "docs" / "api").glob("*.md")
NAMED = [name for page in PAGES for name in re.findall(r"^::: (spanax[.\w]+)", page.read_text(), re.MULTILINE)]


def places(package=sx):
    """The modules that users take names from: the package, and the parts that it says it hands on (`from . import part`)."""
    nodes = [node for node in ast.walk(ast.parse(inspect.getsource(package))) if isinstance(node, ast.ImportFrom)]
    parts = [alias.name for node in nodes if node.module is None and node.level == 1 for alias in node.names]
    inner = [getattr(package, part) for part in parts if not part.startswith("_")]
    return [package, *(module for part in inner if inspect.ismodule(part) for module in places(part))]


def names(module):
    for name, value in vars(module).items():
        if not name.startswith("_") and callable(value) and value.__module__.startswith("spanax"):
            yield f"{module.__name__}.{name}", value


def public():
    """The shortest path of every public object."""
    paths = collections.defaultdict(list)
    for module in places():
        for path, value in names(module):
            paths[id(value)].append(path)
    return {min(found, key=len) for found in paths.values()}


def test_places():
    assert {"spanax", "spanax.hard", "spanax.control", "spanax.bridges"} <= {module.__name__ for module in places()}


def test_each_public_name_has_its_place_in_the_reference():
    assert public() - {*NAMED} == set()
    assert {*NAMED} - public() == set()
    assert [name for name, times in collections.Counter(NAMED).items() if times > 1] == []


def test_a_name_that_is_also_a_file_means_what_python_takes_it_for():
    """The site is built from the source; where a file has the function's name, `docs/_reference.py` has to put it right."""
    for path in NAMED:
        module, name = path.rsplit(".", 1)
        assert not inspect.ismodule(getattr(importlib.import_module(module), name)), path
