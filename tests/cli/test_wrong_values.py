"""Every option of every command with values that it cannot have: status 2, one message, no traceback, before any work.

The commands and their options are those that the command line itself lists.
"""

import sys
import time
import typing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from spanax.cli._app import app

MODULE = """
import jax.numpy as jnp


def f(x):
    return jnp.round(x) * x


def raises(x):
    raise RuntimeError("as it was told")


def no_data():
    raise RuntimeError("as it was told")


number = (jnp.float32(0.3),)
three = 3
"""

NAMES = ["", ":", ":f", "wrong_values", "wrong_values:", "wrong_values:nothing", "wrong_values:three.real.nothing"]
NAMES += [
    "no_such_module:f",
    "no.such.module:f",
    ".:f",
    "..x:f",
    "/:f",
    "a\0b:f",
    "wrong_values.py:f",
    "exits:f",
    "broken:f",
]
OF_FUNCTIONS = ["wrong_values:three", "wrong_values:number", "wrong_values:raises"]
OF_VALUES = ["wrong_values:three", "wrong_values:no_data", "wrong_values:f"]
BRIDGES = [
    "",
    "z",
    "z=",
    "z=DisARM",
    "z=DisARMED()",
    "z=DisARM(",
    "z=DisARM(pairs=-1)",
    "z=3",
    "z=open('x')",
    "\0",
    "(",
]
POSITIONS = ["", "0,0", "-1", "x", "0,", "1", "0,7", "99999999999999999999", "nan", "1.5"]
TEXTS = {
    "function": NAMES + OF_FUNCTIONS,
    "args": NAMES + OF_VALUES,
    "vias": NAMES[1:] + OF_VALUES,
    "via": BRIDGES,
    "argnums": POSITIONS,
    "torch": NAMES + OF_FUNCTIONS,
    "host": ["", " ", "192.0.2.1", "no such name", "a\0b", "x" * 300, "1.2.3", "0.0.0.0:80", "http://localhost"],
}
# What each command is given besides: right values, so that one is wrong only.
BESIDES = {
    "find": {"function": "wrong_values:f", "args": "wrong_values:number"},
    "compare": {"function": "wrong_values:f", "args": "wrong_values:number"},
}


class Option(NamedTuple):
    name: str
    type: type
    info: Any  # as it was given to typer

    @property
    def words(self):
        declared = [text for text in (self.info.default, *(self.info.param_decls or ())) if str(text).startswith("--")]
        return declared[0] if declared else f"--{self.name.replace('_', '-')}"


def commands(group=app, path=()):
    """(names, options) of all that do something."""
    for command in group.registered_commands:
        yield (*path, command.callback.__name__), list(options(command.callback))
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, (*path, inner.name))


def options(function):
    for name, hint in typing.get_type_hints(function, include_extras=True).items():
        if name != "return":
            kind, info = typing.get_args(hint)[:2]
            kinds = [k for k in typing.get_args(kind) if k is not type(None)]
            yield Option(name, kinds[0] if kinds else kind, info)


def wrong(option):
    """Values that this option cannot have."""
    kind = option.type
    if kind is bool:
        return [None]
    if "VaeBridge" in str(kind):
        return ["", "nonsense", "0", "\0"]
    if option.name in TEXTS:
        return TEXTS[option.name]
    if kind is Path:
        files = ["folder", ".", "no/folder/x.png"] if option.name not in ("out", "export") else ["file", "file/x/y/z"]
        return ["file/x", "x" * 300, "a\0b", *files]
    if kind is int:
        return ["", "x", "nan", "1.5", "1e3", str(option.info.min - 1), str(option.info.max + 1), "9" * 30]
    assert kind is float, f"{option.name}: values of a new kind, {kind}"
    return ["", "x", "nan", "inf", "-inf", "-1e300", "1e300", *([] if option.name == "wind" else ["0", "-1"])]


def cases():
    for path, known in commands():
        for option in known:
            # It takes the place of the function and its arguments.
            besides = {} if option.name == "torch" else BESIDES.get(path[0], {})
            for value in wrong(option):
                given = {**{f"--{name}": text for name, text in besides.items()}, option.words: value}
                first = [text for name, text in given.items() if name == "--function"]
                named = [f"{name}={text or ''}" for name, text in given.items() if name != "--function"]
                yield [*path, *first, *([*named[:-1], f"{option.words}=yes"] if value is None else named)]
        yield [*path, "--nonsense"]
        yield [*path, "one", "too", "many"]
    for name, besides in BESIDES.items():
        yield [name]
        yield [name, besides["function"]]
        yield [name, "--args", besides["args"]]


@pytest.fixture
def user_code(tmp_path, monkeypatch):
    (tmp_path / "wrong_values.py").write_text(MODULE)
    (tmp_path / "exits.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("wrong_values", "exits", "broken"):
        sys.modules.pop(name, None)


def test_every_option_refuses_what_it_cannot_have(user_code):
    before = sorted(user_code.iterdir())
    tried, failures = 0, []
    for arguments in cases():
        tried += 1
        start = time.monotonic()
        result = CliRunner().invoke(app, arguments)
        messages = result.stderr.count("spanax: ") + result.stderr.count("Error ─")
        right = result.exit_code == 2 and messages == 1 and not result.stdout and "Traceback" not in result.stderr
        known = "--nonsense" in arguments or "No such option" not in result.stderr
        if not right or not known or time.monotonic() - start > 20:
            failures.append(f"{arguments}: {result.exit_code}, {result.exception!r}\n{result.output[-600:]}")
    assert not failures, "\n\n".join(failures)
    assert tried > 200 and sorted(user_code.iterdir()) == before
