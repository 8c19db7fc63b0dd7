"""Which names are needed after a block: what branches and loops have to hand on.

The classical backward analysis of live variables (Aho, Lam, Sethi and Ullman, section 9.2.5) on the syntax tree: needed
before a statement = what it reads, and what is needed after it without what it assigns in any case. For a loop it is
iterated to its fixed point. A name that is assigned in a branch and not needed afterwards need not have the same kind of
value in both branches; it is left out, which is why more programs can be lifted than if all assigned names were handed on.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from .source import own_nodes

SCOPES = (ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def annotate(body: list[ast.stmt], elsewhere: set[str]) -> None:
    """Gives each `if` and each loop an attribute `state`: the names that it assigns and that are needed after it or, in a loop,
    by its next iteration; without those that live `elsewhere`, in functions around or in the module."""
    # A function that is defined inside may be called at any time, so what it reads is always needed.
    captured = {n for s in body for node in ast.walk(s) if isinstance(node, SCOPES) for n in loads(node)}
    _Liveness(captured, elsewhere).block(body, set())


def loads(node: ast.AST) -> set[str]:
    """All names that are read in it, also by functions inside; a name that is added to is read."""
    return {name for n in ast.walk(node) for name in _loaded_by(n)}


def _loaded_by(n: ast.AST) -> list[str]:
    """The names that one node reads, without its parts. `flags` are those that a loop asks before each iteration."""
    flags: list[str] = list(getattr(n, "flags", ()))
    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load):
        return [n.id, *flags]
    if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name):
        return [n.target.id, *flags]
    # A function that declares a name of this one as its own may read it.
    return [*n.names, *flags] if isinstance(n, ast.Nonlocal) else flags


def assigned_names(node: ast.AST) -> set[str]:
    """The names that a statement, or a block inside it, gives values to in the same function."""
    bound: set[str] = set()
    for n in (node, *_own_without_comprehensions(node)):
        if type(n) in _BINDS:
            bound.update(_BINDS[type(n)](n))
    return bound


def _import_names(n: Any) -> list[str]:
    return [(alias.asname or alias.name).split(".")[0] for alias in n.names]


def _own_name(n: Any) -> list[str]:
    return [n.name] if n.name else []


# What gives a name a value in Python, by the node that does it.
_BINDS: dict[type, Callable[[Any], list[str]]] = {
    ast.Name: lambda n: [] if isinstance(n.ctx, ast.Load) else [n.id],
    **dict.fromkeys((ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef), _own_name),
    **dict.fromkeys((ast.Import, ast.ImportFrom), _import_names),
    **dict.fromkeys((ast.ExceptHandler, ast.MatchAs, ast.MatchStar), _own_name),
}


def _own_without_comprehensions(node: ast.AST):
    """A comprehension's variable is its own; what `:=` names in one is the function's."""
    if isinstance(node, SCOPES):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, COMPREHENSIONS):
            yield from (n.target for n in own_nodes(child) if isinstance(n, ast.NamedExpr))
            continue
        yield child
        yield from _own_without_comprehensions(child)


class _Liveness:
    def __init__(self, captured: set[str], elsewhere: set[str]):
        self.captured, self.elsewhere = captured, elsewhere

    def block(self, statements: list[ast.stmt], after: set[str]) -> set[str]:
        """The names needed before the block, given those needed after it."""
        for statement in reversed(statements):
            after = self.statement(statement, after)
        return after

    def statement(self, node: ast.stmt, after: set[str]) -> set[str]:
        if isinstance(node, ast.If):
            inside = self.block(node.body, after) | self.block(node.orelse, after)
            # What the branches read counts, too: the branch that does not assign a name may read it before.
            self.note(node, inside | after)
            return loads(node.test) | inside
        if isinstance(node, (ast.While, ast.For)):
            return self.loop(node, after)
        if isinstance(node, ast.With):
            return set().union(*map(loads, node.items)) | self.block(node.body, after)
        if isinstance(node, (ast.Try, ast.Match)):
            return self.careful(node, after)
        if isinstance(node, SCOPES):
            return after | loads(node)
        return (after - self.certainly_assigned(node)) | loads(node)

    def careful(self, node: ast.stmt, after: set[str]) -> set[str]:
        """What may end anywhere inside: whatever is read in it or needed after it is needed throughout."""
        # An error may leave the body after any statement, so no assignment in it is certain when a handler runs.
        everything = after | loads(node)
        for child in ast.iter_child_nodes(node):
            for block in [child.body] if isinstance(child, (ast.ExceptHandler, ast.match_case)) else []:
                self.block(block, everything)
        for name in ("body", "orelse", "finalbody"):
            self.block(getattr(node, name, []), everything)
        return everything

    def loop(self, node: ast.While | ast.For, after: set[str]) -> set[str]:
        flags = set(getattr(node, "flags", ()))
        head = after | flags | (loads(node.test) if isinstance(node, ast.While) else set())
        targets = assigned_names(node.target) if isinstance(node, ast.For) else set()
        # What the body needs at its start it needs of the iteration before: to the fixed point, as sets only grow.
        while (more := head | (self.block(node.body, head) - targets)) != head:
            head = more
        self.note(node, head)
        if isinstance(node, ast.For):
            return (head | loads(node.iter)) | (loads(node.target) - targets)
        return head

    def note(self, node: ast.stmt, needed: set[str]) -> None:
        node.state = sorted((assigned_names(node) - self.elsewhere) & (needed | self.captured))  # type: ignore[attr-defined]

    def certainly_assigned(self, node: ast.stmt) -> set[str]:
        # Only statements that cannot end half-way count: a name that is wrongly left out here is handed on without need, one
        # that is wrongly in here would be lost.
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Delete, ast.Import, ast.ImportFrom)):
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        return set()
