"""Functions of Python's standard library: what is written about them, and the names that occur in their code.

Read from the sources of the Python that runs this, and nothing of it is executed.
"""

from __future__ import annotations

import ast
import re
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..._errors import SpanaxError

DOCUMENTS = 500
LEAST_WRITTEN, LEAST_NAMED = 8, 10  # different words of a docstring, and of the names in the code
# Named, so that what is installed besides, and what a version of Python adds, changes little.
MODULES = """
    argparse ast asyncio base64 bdb calendar cmd codecs code collections concurrent configparser contextlib copy csv ctypes
    dataclasses datetime decimal difflib dis doctest email enum filecmp fileinput fnmatch fractions ftplib functools getpass
    gettext glob gzip heapq hmac html http imaplib importlib inspect io ipaddress json locale logging mailbox mimetypes
    multiprocessing ntpath numbers operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib poplib posixpath
    pprint profile pstats pydoc queue random re reprlib runpy sched selectors shelve shlex shutil smtplib socket socketserver ssl
    stat statistics string subprocess symtable sysconfig tarfile tempfile textwrap threading timeit tokenize trace traceback
    tracemalloc turtle types typing unittest urllib uuid venv wave weakref webbrowser wsgiref xml xmlrpc zipapp zipfile
""".split()


@dataclass(frozen=True)
class Function:
    """One function: `written`, the different words of its docstring; `named`, those of its name and of the names in its code."""

    module: str
    name: str
    docstring: str
    written: tuple[str, ...]
    named: tuple[str, ...]


def words(text: str) -> list[str]:
    """In lower case; get_close_matches and getCloseMatches are three words."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)]


def load(documents: int = DOCUMENTS) -> tuple[Function, ...]:
    """So many functions with enough words, no two of the same name or docstring. The same Python gives the same ones."""
    fit = read()
    if len(fit) < documents:
        raise SpanaxError(
            f"{documents} documented functions are needed, and the sources of this Python's standard library have {len(fit)}",
            "a Python that comes with the sources of its library: some small distributions leave them out",
            where="",
        )
    return fit[:documents]


@cache
def read() -> tuple[Function, ...]:
    """All that fit, in the order of a checksum: a mixture of all modules, of which a later Python keeps most."""
    every = [function for path in _sources() for function in _functions(path)]
    names, texts = Counter(one.name for one in every), Counter(one.docstring for one in every)
    fit = [one for one in every if names[one.name] == texts[one.docstring] == 1 and _enough(one)]
    return tuple(sorted(fit, key=lambda one: (zlib.crc32(f"{one.module}.{one.name}".encode()), one.module)))


def _enough(one: Function) -> bool:
    return len(one.written) >= LEAST_WRITTEN and len(one.named) >= LEAST_NAMED


def _sources() -> Iterator[Path]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for module in MODULES:
        one = root / f"{module}.py"
        paths = [one] if one.exists() else sorted((root / module).rglob("*.py"))
        yield from (path for path in paths if not {"test", "tests"} & set(path.relative_to(root).parts))


def _functions(path: Path) -> Iterator[Function]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError):  # a file that is not Python's own, or cannot be read
        return
    root = Path(sysconfig.get_paths()["stdlib"])
    module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node) or ""
            written, named = (tuple(sorted(set(some))) for some in (words(text), [*words(node.name), *_named(node)]))
            yield Function(module, node.name, text, written, named)


def _named(function: ast.AST) -> Iterator[str]:
    """The words of all names in its code; the docstring has none."""
    for node in ast.walk(function):
        for field in ("id", "attr", "arg"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield from words(name)
