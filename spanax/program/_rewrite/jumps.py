"""`return`, `break` and `continue` as flags, so that control flow is made of blocks with one entry and one exit.

A branch or a loop of a traced program has one exit, so a jump cannot leave it. Each jump becomes an assignment to a flag,
and what the jump would skip is put under `if not flag`:

    while test:                      broken = False
        a()                          while not broken and test:
        if x: break        ->            a()
        b()                              if x: broken = True
                                         else: b()

This is structured-program conversion as in Böhm and Jacopini (1966), with one simplification: where one branch of an `if`
leaves, what follows is moved into the other branch instead, which asks no flag and keeps the program small.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import count
from typing import Any

RETURNED, RESULT = "_sx_returned", "_sx_result"


def lower_jumps(body: list[ast.stmt]) -> list[ast.stmt]:
    """The body of a function with at most one `return`, at its end. A loop gets an attribute `flags`: the names of those that
    end it early."""
    if not any(_returns_early(s) for s in body) and not any(map(_has_loop_jump, body)):
        return body
    lowered = _Jumps().block(body, None)
    returned = [*_assign(RETURNED, ast.Constant(False), body[0])]
    # A function that always returns has a result on all branches; of any other, the result is None where the flag is not set.
    always = ast.Constant(_block_returns(body))
    result = ast.Return(ast.Call(_hook("result"), [_name(RESULT), _name(RETURNED), always], []))
    return [*returned, *lowered, ast.copy_location(result, body[-1])]


def _hook(name: str) -> ast.expr:
    return ast.Attribute(_name("_sx_"), name, ast.Load())


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _assign(name: str, value: ast.expr, at: ast.AST) -> list[ast.stmt]:
    node = ast.Assign([ast.Name(name, ast.Store())], value)
    return [ast.fix_missing_locations(ast.copy_location(node, at))]


def _not_set(flags: list[str], at: ast.AST) -> ast.expr:
    """None of the flags is set."""
    flag: ast.expr = _name(flags[0]) if len(flags) == 1 else ast.BoolOp(ast.Or(), [_name(f) for f in flags])
    return ast.fix_missing_locations(ast.copy_location(ast.UnaryOp(ast.Not(), flag), at))


def _unless(flags: list[str], block: list[ast.stmt], at: ast.AST) -> ast.stmt:
    """The block, where none of the flags is set."""
    return ast.copy_location(ast.If(_not_set(flags, at), block, []), at)


# -- where control flow may go


def blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of statements inside a statement."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return []  # a jump inside is that of another function
    candidates = [getattr(node, name, None) for name in ("body", "orelse", "finalbody")]
    parts = [part.body for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ()))]
    return [block for block in candidates if isinstance(block, list)] + parts


def _returns_early(node: ast.stmt) -> bool:
    return any(isinstance(s, ast.Return) or _returns_early(s) for block in blocks(node) for s in block)


def _has_loop_jump(node: ast.stmt) -> bool:
    return any(isinstance(s, (ast.Break, ast.Continue)) or _has_loop_jump(s) for block in blocks(node) for s in block)


def _leaves(node: ast.stmt) -> bool:
    """Does control never reach the statement that follows it?"""
    if isinstance(node, (ast.Return, ast.Break, ast.Continue, ast.Raise)):
        return True
    if isinstance(node, ast.If):
        return bool(node.orelse) and _block_leaves(node.body) and _block_leaves(node.orelse)
    return isinstance(node, ast.With) and _block_leaves(node.body)


def _block_leaves(block: list[ast.stmt]) -> bool:
    return any(map(_leaves, block))


def _block_returns(block: list[ast.stmt]) -> bool:
    """Does each path through the body of a function, or through a loop in it, end in `return` or in an error?"""
    return any(_RETURNS[type(s)](s) for s in block if type(s) in _RETURNS)


def _loop_returns(node: Any) -> bool:
    # Without `break`, a loop ends by its test or at the end of its items, and then its `else` runs. The body may run no
    # time, so a `return` in it says nothing, unless the test is always true.
    if any(isinstance(s, ast.Break) for s in _inner_of(node.body)):
        return False
    endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
    return endless or _block_returns(node.orelse)


def _try_returns(node: Any) -> bool:
    parts = [node.body + node.orelse, *(handler.body for handler in node.handlers)]
    return _block_returns(node.finalbody) or all(map(_block_returns, parts))


# Statements that may end a function on all paths. A statement that is missing here does not, which is safe: the result is then
# taken to be None where the flag is not set.
_RETURNS: dict[type, Callable[[Any], bool]] = {
    ast.Return: lambda node: True,
    ast.Raise: lambda node: True,
    ast.If: lambda node: _block_returns(node.body) and _block_returns(node.orelse),
    ast.With: lambda node: _block_returns(node.body),
    ast.For: _loop_returns,
    ast.While: _loop_returns,
    ast.Try: _try_returns,
}


# -- flags instead of jumps


class _LoopFlags:
    """The names of the flags of one loop, of which a function may have several."""

    def __init__(self, number: int):
        self.broken, self.continued = f"_sx_broken{number}", f"_sx_continued{number}"


class _Jumps:
    def __init__(self):
        self.numbers = count(1)

    def block(self, statements: list[ast.stmt], loop: _LoopFlags | None) -> list[ast.stmt]:
        """The statements without jumps; `loop`: the one that `break` and `continue` in them belong to."""
        lowered: list[ast.stmt] = []
        for i, statement in enumerate(statements):
            rest = statements[i + 1 :]
            if isinstance(statement, ast.If) and rest and (merged := _with_rest(statement, rest)):
                return [*lowered, *self.statement(merged, loop)]
            lowered += self.statement(statement, loop)
            if _leaves(statement):
                return lowered  # what follows is never run
            if flags := self.flags(statement, loop):
                return [*lowered, _unless(flags, self.block(rest, loop), rest[0])] if rest else lowered
        return lowered

    def flags(self, node: ast.stmt, loop: _LoopFlags | None) -> list[str]:
        """Those that the statement may set, and that skip what follows it."""
        flags = [RETURNED] if _returns_early(node) else []
        if loop and not isinstance(node, (ast.For, ast.While)):  # a loop's `break` skips nothing outside of it
            inner = list(_inner(node))
            flags += [loop.broken] if any(isinstance(s, ast.Break) for s in inner) else []
            flags += [loop.continued] if any(isinstance(s, ast.Continue) for s in inner) else []
        return flags

    def statement(self, node: ast.stmt, loop: _LoopFlags | None) -> list[ast.stmt]:
        if isinstance(node, ast.Return):
            value = node.value or ast.copy_location(ast.Constant(None), node)
            return [*_assign(RESULT, value, node), *_assign(RETURNED, ast.Constant(True), node)]
        if isinstance(node, ast.Break):
            assert loop is not None
            return _assign(loop.broken, ast.Constant(True), node)
        if isinstance(node, ast.Continue):
            assert loop is not None
            return _assign(loop.continued, ast.Constant(True), node)
        if isinstance(node, (ast.For, ast.While)):
            return self.loop(node, loop)
        return [self.inside(node, loop)]

    def inside(self, node: ast.stmt, loop: _LoopFlags | None) -> ast.stmt:
        """A statement with blocks that is not a loop: the blocks without jumps."""
        if not blocks(node):
            return node
        flags = self.flags(node, loop)
        node = _copy_node(node)
        for name in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, name, None), list):
                setattr(node, name, self.block(getattr(node, name), loop))
        # Python runs the `else` of a `try` only where its body was not left by a jump, which is no longer one.
        if isinstance(node, ast.Try) and node.orelse and flags:
            node.orelse = [_unless(flags, node.orelse, node)]
        for name in ("handlers", "cases"):
            if hasattr(node, name):
                setattr(
                    node, name, [_copy_node(part, body=self.block(part.body, loop)) for part in getattr(node, name)]
                )
        return node

    def loop(self, node: ast.For | ast.While, around: _LoopFlags | None) -> list[ast.stmt]:
        loop = _LoopFlags(next(self.numbers))
        inner = list(_inner_of(node.body))
        breaks = any(isinstance(s, ast.Break) for s in inner)
        flags = [*([loop.broken] if breaks else []), *([RETURNED] if _block_has_return(node.body) else [])]
        body = self.block(node.body, loop)
        if any(isinstance(s, ast.Continue) for s in inner):  # it holds for one iteration
            body = [*_assign(loop.continued, ast.Constant(False), node), *body]
        new = _copy_node(node, body=body, orelse=[])
        new.flags = flags  # type: ignore[attr-defined]
        before = _assign(loop.broken, ast.Constant(False), node) if breaks else []
        after: list[ast.stmt] = self.block(node.orelse, around)
        if after and flags:  # the `else` of a loop runs unless a jump has ended it
            after = [_unless(flags, after, node)]
        return [*before, new, *after]


def _block_has_return(block: list[ast.stmt]) -> bool:
    return any(isinstance(s, ast.Return) or _returns_early(s) for s in block)


def _copy_node(node, **fields):
    """A node with some fields changed. The tree it came from is cached by file, and stays as it is."""
    new = type(node)(**{**{name: getattr(node, name, None) for name in node._fields}, **fields})
    return ast.copy_location(new, node)


def _with_rest(node: ast.If, rest: list[ast.stmt]) -> ast.If | None:
    """Where one branch leaves, what follows belongs to the other: no flag is asked then."""
    then, orelse = _block_leaves(node.body), _block_leaves(node.orelse)
    if then and not orelse:
        return _copy_node(node, orelse=[*node.orelse, *rest])
    if orelse and not then:
        return _copy_node(node, body=[*node.body, *rest])
    return None


def _inner(node: ast.stmt):
    """The statements inside, without those of loops in it: their jumps are their own."""
    for block in blocks(node):
        yield from _inner_of(block)


def _inner_of(block: list[ast.stmt]):
    for statement in block:
        yield statement
        if not isinstance(statement, (ast.For, ast.While)):
            yield from _inner(statement)
        else:
            # A `break` in the `else` of a loop belongs to the loop around.
            for other in statement.orelse:
                yield other
                yield from _inner(other)
