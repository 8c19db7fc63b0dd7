"""Tries an installed wheel as a stranger has it: without the checkout and without any extra. Exits 1 if something fails.

Run it by `make wheel`, or by any environment's `python -I .ci/check_wheel.py` (-I: the checkout is not on the path).
"""

import doctest
import importlib.metadata
import inspect
import pathlib
import subprocess
import sys

import spanax as sx

SPACES = ("hard", "control")
NEEDS_AN_EXTRA = {"spanax.control.from_gymnasium", "spanax.control.to_gymnasium"}


def check(problem, holds):
    if not holds:
        sys.exit(f"check_wheel: {problem}")


def files():
    """The parts that a program needs are in the environment, and the version is one."""
    package = pathlib.Path(sx.__file__).parent
    check(f"spanax comes from {package}, which is not in {sys.prefix}", package.is_relative_to(sys.prefix))
    metadata = importlib.metadata.version("spanax")
    check(f"the wheel says {metadata}, the package {sx.__version__}", metadata == sx.__version__)
    check("py.typed is missing: type checkers will not read the annotations", (package / "py.typed").exists())


def shell():
    """Without the extra for the command line, the command says what to install."""
    command = subprocess.run([pathlib.Path(sys.prefix) / "bin" / "spanax"], capture_output=True, text=True)
    check(f"`spanax` without its extra says {command.stderr!r}", "pip install 'spanax[cli]'" in command.stderr)


def public():
    """Every public function and class, by its name, of those whose example runs without an extra."""
    for where in (sx, *(getattr(sx, name) for name in SPACES)):
        for name, value in vars(where).items():
            path = f"{where.__name__}.{name}"
            if (
                not name.startswith("_")
                and (inspect.isroutine(value) or inspect.isclass(value))
                and path not in NEEDS_AN_EXTRA
            ):
                yield path, value


def examples():
    """The examples in the docstrings of all public names."""
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name, value in public():
        for test in finder.find(value, name):
            runner.run(test)
    failed, tried = runner.summarize(verbose=False)
    check(f"{failed} of {tried} lines of examples failed", tried and not failed)
    return tried


if __name__ == "__main__":
    files()
    shell()
    print(f"spanax {sx.__version__} installs, and {examples()} lines of examples run with nothing else installed")
