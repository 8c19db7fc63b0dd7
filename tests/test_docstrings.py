"""Every public function says what it takes, returns and raises, and shows it; every public class shows an example."""

import importlib
import inspect
import re

import pytest

# A part is here once its docstrings are whole. "" is the root: errors and warnings.
PARTS = ("", "bridges", "hard", "blackbox", "surrogate", "control", "torch")
MODULES = """
    spanax spanax.hard spanax.control spanax.bridges spanax.judge spanax.gaps spanax.blackbox spanax.surrogate spanax.program
    spanax.smoothing spanax.stochastic spanax.torch spanax.testing spanax.control.gym spanax.control.trebuchet
""".split()
# Nothing is excused. A name would stand here as "bridges.base.Bridge": ["example"].
ALLOWED: dict[str, list[str]] = {}


def part_of(thing):
    """The part of spanax where a public thing is defined, "" for the root; None if it is another library's."""
    home = getattr(thing, "__module__", None) or ""
    pieces = home.split(".")
    if pieces[0] != "spanax":
        return None
    return pieces[1] if len(pieces) > 1 and not pieces[1].startswith("_") else ""


def public_things():
    """Functions and classes that users may import, each once, by the place where it is defined."""
    things = {}
    for name in MODULES:
        for attribute, thing in vars(importlib.import_module(name)).items():
            if attribute.startswith("_") or not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue
            if part_of(thing) in PARTS:
                things[f"{thing.__module__.removeprefix('spanax.')}.{thing.__name__}"] = thing
    return dict(sorted(things.items()))


THINGS = public_things()


def missing(thing):
    """What the docstring lacks."""
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing):
        return [] if ">>>" in text else ["example"]
    parameters = inspect.signature(thing).parameters
    lacks = [] if not parameters or "**Arguments:**" in text else ["Arguments"]
    lacks += [f"argument {name}" for name in parameters if not re.search(rf"^- `\*{{0,2}}{name}`", text, re.MULTILINE)]
    if inspect.signature(thing).return_annotation not in (None, "None") and "**Returns:**" not in text:
        lacks.append("Returns")
    lacks += [] if "**Raises:**" in text else ["Raises"]
    return lacks + ([] if ">>>" in text else ["example"])


@pytest.mark.parametrize("name", THINGS)
def test_the_docstring_is_whole(name):
    assert missing(THINGS[name]) == ALLOWED.get(name, [])


def test_the_check_sees_what_is_missing():
    def bare(x):
        """Something.

        - `y`: not a parameter.
        """
        return x

    assert missing(bare) == ["Arguments", "argument x", "Returns", "Raises", "example"]
    assert missing(type("Bare", (), {"__doc__": "Something."})) == ["example"]


def test_nothing_is_excused():
    assert not ALLOWED
    assert len(THINGS) > 60
