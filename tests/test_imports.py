"""One way that imports run: a file imports from its own part and from parts above it, without circles."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "spanax"
# From the top to the bottom of the house; a part that imports one below it fails here.
PARTS = [
    "_interrupts",
    "_layout",
    "_progress",
    "_paste",
    "_jaxprs",
    "_errors",
    "_pytree",
    "_foreign_arrays",
    "_primitives",
    "_functions",
    "_steps",
    "_places",
    "_forward_mode",
    "_batch_axes",
    "_checks",
    "_sealed_file",
    "_fingerprint",
    "_optimizer",
    "_math",
    "bridges",
    "hard",
    "stochastic",
    "gaps",
    "smoothing",
    "blackbox",
    "surrogate",
    "program",
    "control",
    "judge",
    "testing",
    "torch",
    "gallery",
    "cli",
]
LOOP_PARAMETERS = frozenset(
    "num_consts num_carry ft_in unroll cond_jaxpr body_jaxpr cond_nconsts body_nconsts branches".split()
)
READS_INTERNALS = {"_jaxprs.py", "_primitives.py"}
USES_PUBLIC_NAMES = {"gallery", "cli", "__main__", "testing"}  # these may say `import spanax`, as a user does
LAZY_AT_IMPORT = ("numpyro", "optax", "matplotlib", "sklearn", "typer", "rich", "torch", "dask", "ray", "loky")


def files():
    return sorted(ROOT.rglob("*.py"))


def module(path):
    relative = path.relative_to(ROOT.parent).with_suffix("")
    parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
    return ".".join(parts)


def imports(path):
    """Dotted names of all that a file imports, at any depth; `from a import b` gives both a and a.b."""
    package = module(path).split(".") if path.name == "__init__.py" else module(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])
                if node.level
                else node.module
            )
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def part(name):
    """The part of a dotted name inside spanax; None for the package itself and for public names."""
    pieces = name.split(".")
    known = len(pieces) > 1 and pieces[0] == "spanax" and (pieces[1] in PARTS or pieces[1] == "__main__")
    return pieces[1] if known else None


@pytest.mark.parametrize("path", files(), ids=module)
def test_imports_run_downwards(path):
    mine = part(module(path) + ".")
    if mine is None or mine == "__main__":
        return
    for name in imports(path):
        theirs = part(name)
        if theirs is not None:
            assert PARTS.index(theirs) <= PARTS.index(mine), f"{module(path)} imports {name}, which lies below it"
        elif name == "spanax":
            assert mine in USES_PUBLIC_NAMES, f"{module(path)} imports the whole package"


def is_private(name):
    """Has a dotted name an underscored piece below its part? The root's own modules belong to all parts."""
    return any(piece.startswith("_") and piece != "__main__" for piece in name.split(".")[2:])


@pytest.mark.parametrize("path", files(), ids=module)
def test_no_part_imports_what_is_private_to_another(path):
    mine = part(module(path) + ".")
    known = {module(p) for p in files()}
    for name in imports(path):
        theirs = part(name)
        if theirs is not None and theirs != mine and not theirs.startswith("_") and name in known:
            assert not is_private(name), f"{module(path)} imports {name}, which is private to {theirs}"


@pytest.mark.parametrize("path", files(), ids=module)
def test_files_in_an_underscored_folder_have_plain_names(path):
    *folders, name = module(path).split(".")
    if any(folder.startswith("_") for folder in folders):
        assert not name.startswith("_"), f"{module(path)}: the folder says already that it is private"


def public_modules():
    """The package and the parts whose names users may import: what they re-export as `X as X` is public."""
    return [path for path in files() if path.name == "__init__.py" and "._" not in module(path)]


@pytest.mark.parametrize("path", public_modules(), ids=module)
def test_public_names_live_in_plain_files(path):
    package = importlib.import_module(module(path))
    for node in ast.parse(path.read_text()).body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            thing = getattr(package, alias.asname or alias.name)
            home = getattr(thing, "__module__", "")
            if alias.asname and not alias.asname.startswith("_") and home.startswith("spanax."):
                assert "._" not in home.removeprefix("spanax._errors"), f"{alias.asname} is public, and lives in {home}"


def test_every_file_belongs_to_a_part():
    for path in files():
        assert path.name in ("__init__.py", "__main__.py") or part(module(path)), f"{module(path)} is in no part"


def test_there_are_no_circles():
    known = {module(p) for p in files()}
    graph = {module(p): {n for n in imports(p) if n in known and n != module(p)} for p in files()}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for other in graph[name] - {"spanax"}:
                if not name.startswith(other + "."):  # a file may say `from . import sibling`
                    visit(other)
            path.pop()
            done.add(name)

    for name in graph:
        visit(name)


def test_jax_internals_are_met_in_two_files_only():
    for path in files():
        for name in imports(path):
            assert not name.startswith(("jax._src", "equinox.internal")), f"{module(path)} imports {name}"
            if name.startswith(("jax.extend", "jax.interpreters")):
                assert path.name in READS_INTERNALS, f"{module(path)} imports {name}"


def test_importing_changes_no_configuration_and_is_lean():
    script = (
        "import jax, sys; before = dict(jax.config.values); import spanax; "
        "assert dict(jax.config.values) == before; "
        f"print([name for name in {LAZY_AT_IMPORT} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert out.stdout.strip() == "[]"


def test_one_file_knows_how_loops_and_branches_keep_their_parts():
    """Versions of JAX differ: `scan_parts`, `while_parts`, `cond_branches` and `closed_over` read them."""
    for path in files():
        if path.name != "_jaxprs.py":
            strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not strings & LOOP_PARAMETERS, f"{module(path)} reads {sorted(strings & LOOP_PARAMETERS)}"
