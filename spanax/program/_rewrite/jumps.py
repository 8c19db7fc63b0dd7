"""`return`, `break` and `continue` as flags, so that control flow is made of blocks with one way in and one way out."""

from __future__ import annotations

import ast
from itertools import count

RETURNED, RESULT = "_sx_returned", "_sx_result"


def lower_jumps(body: list[ast.stmt]) -> list[ast.stmt]:
    """The body of a function with at most one `return`, at its end. A loop gets an attribute `flags`: the names of those that
    end it early."""
    if not any(_returns_early(s) for s in body) and not any(map(_has_loop_jump, body)):
        return body
    lowered = _Jumps().block(body, None)
    returned = [*_assign(RETURNED, ast.Constant(False), body[0])]
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


def blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """The blocks of statements inside a statement."""
    found = [
        getattr(node, name) for name in ("body", "orelse", "finalbody") if isinstance(getattr(node, name, None), list)
    ]
    found += [part.body for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ()))]
    return found if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)) else []


def _returns_early(node: ast.stmt) -> bool:
    return any(isinstance(s, ast.Return) or _returns_early(s) for block in blocks(node) for s in block)


def _has_loop_jump(node: ast.stmt) -> bool:
    return any(isinstance(s, (ast.Break, ast.Continue)) or _has_loop_jump(s) for block in blocks(node) for s in block)


def _leaves(node: ast.stmt) -> bool:
    """Does no way lead from it to the next statement?"""
    if isinstance(node, (ast.Return, ast.Break, ast.Continue, ast.Raise)):
        return True
    if isinstance(node, ast.If):
        return bool(node.orelse) and _block_leaves(node.body) and _block_leaves(node.orelse)
    return isinstance(node, ast.With) and _block_leaves(node.body)


def _block_returns(block: list[ast.stmt]) -> bool:
    """Does each way through the body of a function, or through a loop in it, end in `return` or in an error?"""
    return any(map(_returns, block))


def _returns(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Return, ast.Raise)):
        return True
    if isinstance(node, ast.If):
        return _block_returns(node.body) and _block_returns(node.orelse)
    if isinstance(node, (ast.For, ast.While)):
        breaks = any(isinstance(s, ast.Break) for s in _inner_of(node.body))
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)
        return not breaks and (endless or _block_returns(node.orelse))
    if isinstance(node, ast.Try):
        parts = [node.body + node.orelse, *(handler.body for handler in node.handlers)]
        return _block_returns(node.finalbody) or all(map(_block_returns, parts))
    return isinstance(node, ast.With) and _block_returns(node.body)


def _block_leaves(block: list[ast.stmt]) -> bool:
    return any(map(_leaves, block))


class _Loop:
    def __init__(self, number: int):
        self.broken, self.continued = f"_sx_broken{number}", f"_sx_continued{number}"


class _Jumps:
    def __init__(self):
        self.numbers = count(1)

    def block(self, statements: list[ast.stmt], loop: _Loop | None) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for i, statement in enumerate(statements):
            rest = statements[i + 1 :]
            if isinstance(statement, ast.If) and rest and (merged := _with_rest(statement, rest)):
                return [*done, *self.statement(merged, loop)]
            done += self.statement(statement, loop)
            if _leaves(statement):
                return done
            if flags := self.flags(statement, loop):
                if rest:
                    guard = ast.If(_not_set(flags, rest[0]), self.block(rest, loop), [])
                    done.append(ast.copy_location(guard, rest[0]))
                return done
        return done

    def flags(self, node: ast.stmt, loop: _Loop | None) -> list[str]:
        """Those that the statement may set, and that skip what follows it."""
        flags = [RETURNED] if _returns_early(node) else []
        if loop and not isinstance(node, (ast.For, ast.While)):
            inner = list(_inner(node))
            flags += [loop.broken] if any(isinstance(s, ast.Break) for s in inner) else []
            flags += [loop.continued] if any(isinstance(s, ast.Continue) for s in inner) else []
        return flags

    def statement(self, node: ast.stmt, loop: _Loop | None) -> list[ast.stmt]:
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

    def inside(self, node: ast.stmt, loop: _Loop | None) -> ast.stmt:
        if not blocks(node):
            return node
        flags = self.flags(node, loop)
        node = _copied(node)
        for name in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, name, None), list):
                setattr(node, name, self.block(getattr(node, name), loop))
        if isinstance(node, ast.Try) and node.orelse and flags:  # not after a jump in the body
            node.orelse = [ast.copy_location(ast.If(_not_set(flags, node), node.orelse, []), node)]
        for name in ("handlers", "cases"):
            if hasattr(node, name):
                setattr(node, name, [_copied(part, body=self.block(part.body, loop)) for part in getattr(node, name)])
        return node

    def loop(self, node: ast.For | ast.While, around: _Loop | None) -> list[ast.stmt]:
        loop = _Loop(next(self.numbers))
        inner = [s for block in (node.body,) for s in _inner_of(block)]
        breaks = any(isinstance(s, ast.Break) for s in inner)
        continues = any(isinstance(s, ast.Continue) for s in inner)
        returns = any(isinstance(s, ast.Return) or _returns_early(s) for s in node.body)
        flags = [*([loop.broken] if breaks else []), *([RETURNED] if returns else [])]
        body = self.block(node.body, loop)
        if continues:
            body = [*_assign(loop.continued, ast.Constant(False), node), *body]
        new = _copied(node, body=body, orelse=[])
        new.flags = flags  # type: ignore[attr-defined]
        before = _assign(loop.broken, ast.Constant(False), node) if breaks else []
        after: list[ast.stmt] = self.block(node.orelse, around)
        if after and flags:
            after = [ast.copy_location(ast.If(_not_set(flags, node), after, []), node)]
        return [*before, new, *after]


def _copied(node, **fields):
    """A node with some fields changed; the tree it came from stays as it is."""
    new = type(node)(**{**{name: getattr(node, name, None) for name in node._fields}, **fields})
    return ast.copy_location(new, node)


def _with_rest(node: ast.If, rest: list[ast.stmt]) -> ast.If | None:
    """Where one branch leaves, what follows belongs to the other: no flag is asked then."""
    then, orelse = _block_leaves(node.body), _block_leaves(node.orelse)
    if then and not orelse:
        return _copied(node, orelse=[*node.orelse, *rest])
    if orelse and not then:
        return _copied(node, body=[*node.body, *rest])
    return None


def _inner(node: ast.stmt):
    """The statements inside, without those of loops in it."""
    for block in blocks(node):
        yield from _inner_of(block)


def _inner_of(block: list[ast.stmt]):
    for statement in block:
        yield statement
        if not isinstance(statement, (ast.For, ast.While)):
            yield from _inner(statement)
        else:
            for other in statement.orelse:
                yield other
                yield from _inner(other)
