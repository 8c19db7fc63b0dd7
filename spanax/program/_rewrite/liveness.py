"""Which names are needed after a block: what branches and loops have to hand on."""

from __future__ import annotations

import ast

from .source import own_nodes

SCOPES = (ast.FunctionDef, ast.Lambda, ast.ClassDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def annotate(body: list[ast.stmt], elsewhere: set[str]) -> None:
    """Gives each `if` and each loop an attribute `state`: the names that it assigns and that are needed after it or, in a loop,
    by its next round; without those that live `elsewhere`, in functions around or in the module."""
    captured = {n for s in body for node in ast.walk(s) if isinstance(node, SCOPES) for n in loads(node)}
    _Liveness(captured, elsewhere).block(body, set())


def loads(node: ast.AST) -> set[str]:
    """All names that are read in it, also by functions inside; a name that is added to is read."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    found |= {n.target.id for n in ast.walk(node) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    flags = (name for n in ast.walk(node) for name in getattr(n, "flags", ()))
    return found | set(flags) | {name for n in ast.walk(node) if isinstance(n, ast.Nonlocal) for name in n.names}


def assigned(node: ast.AST) -> set[str]:
    """The names that a statement, or a block inside it, gives values to in the same function."""
    found: set[str] = set()
    for n in (node, *_own_without_comprehensions(node)):
        if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load):
            found.add(n.id)
        elif isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            found.add(n.name)
        elif isinstance(n, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in n.names}
        elif (isinstance(n, ast.ExceptHandler) and n.name) or (isinstance(n, (ast.MatchAs, ast.MatchStar)) and n.name):
            found.add(n.name)
    return found


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
        targets = assigned(node.target) if isinstance(node, ast.For) else set()
        while (more := head | (self.block(node.body, head) - targets)) != head:
            head = more
        self.note(node, head)
        if isinstance(node, ast.For):
            return (head | loads(node.iter)) | (loads(node.target) - targets)
        return head

    def note(self, node: ast.stmt, needed: set[str]) -> None:
        node.state = sorted((assigned(node) - self.elsewhere) & (needed | self.captured))  # type: ignore[attr-defined]

    def certainly_assigned(self, node: ast.stmt) -> set[str]:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Delete, ast.Import, ast.ImportFrom)):
            return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        return set()
