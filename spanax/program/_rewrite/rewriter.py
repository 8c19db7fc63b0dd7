"""A function's syntax tree with hooks: each call, branch, loop, write and truth value goes through `_sx_`."""

from __future__ import annotations

import ast
import copy
from itertools import count
from typing import Any

from .expressions import Expressions
from .jumps import lower_jumps
from .liveness import SCOPES, annotate, assigned, loads
from .source import Function, is_generator, own_nodes
from .syntax import (
    HOOKS,
    at,
    define,
    docstring,
    hook,
    is_hook,
    load,
    negated,
    nonlocals,
    parameters,
    store,
    strings,
    thunk,
    unpacked,
)


def rewritten(tree: Function, file: str, owner: str | None) -> Function:
    """`owner`: the name of the class that the function was defined in, for private names."""
    return _Rewriter(file, owner).function(copy.deepcopy(tree))


class _Rewriter(Expressions):
    def __init__(self, file: str, owner: str | None):
        self.file, self.owner = file, owner
        self.numbers = count(1)
        self.first: str | None = None  # its first parameter
        self.rebound: set[str] = set()  # names of functions around, and global ones, that this one gives new values to
        self.globals: set[str] = set()  # the global ones of them
        self.locals: set[str] = set()  # its own names, and those of the functions around

    # -- functions

    def function(self, node: Function) -> Function:
        if isinstance(node, ast.Lambda):
            node.args.defaults = [ast.Constant(None) for _ in node.args.defaults]
            node.args.kw_defaults = [d and ast.Constant(None) for d in node.args.kw_defaults]
            return at(node, self.visit_Lambda(node))
        node.decorator_list = []
        self.clear_defaults(node)
        return self.body_of(node)

    def clear_defaults(self, node: ast.FunctionDef) -> None:
        """They are taken from the function object."""
        node.args.defaults = [at(node, ast.Constant(None)) for _ in node.args.defaults]
        node.args.kw_defaults = [d and at(node, ast.Constant(None)) for d in node.args.kw_defaults]
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None

    def body_of(self, node: ast.FunctionDef) -> ast.FunctionDef:
        before = self.first, self.rebound, self.globals, self.locals
        given = parameters(node.args)
        self.rebound = {name for n in own_nodes(node) if isinstance(n, (ast.Global, ast.Nonlocal)) for name in n.names}
        self.globals = {name for n in own_nodes(node) if isinstance(n, ast.Global) for name in n.names}
        statements = [s for s in node.body if not isinstance(s, (ast.Nonlocal, ast.Global))]
        names = set().union(*map(assigned, statements)) - self.rebound
        lowered = lower_jumps(statements) if statements else [at(node, ast.Pass())]
        names |= {n for s in lowered for n in assigned(s) if n.startswith(HOOKS)}
        annotate(lowered, self.rebound)
        self.first = given[0] if given else None
        self.locals = self.locals | names | set(given)
        start = self.declared(self.rebound)
        start += [self.setter(name) for name in sorted(self.rebound)]
        start += self.undefined(sorted(names - set(given)))
        text, lowered = docstring(lowered)
        node.body = text + at(node, start) + self.statements(lowered)
        self.first, self.rebound, self.globals, self.locals = before
        return node

    def declared(self, names: set[str]) -> list[ast.stmt]:
        """Those of the names that live elsewhere, as such."""
        outer, world = sorted(names & (self.rebound - self.globals)), sorted(names & self.globals)
        return [*([ast.Nonlocal(outer)] if outer else []), *([ast.Global(world)] if world else [])]

    def undefined(self, names: list[str]) -> list[ast.stmt]:
        return [ast.Assign([store(n)], hook("Undefined", ast.Constant(n))) for n in names]

    def setter(self, name: str) -> ast.stmt:
        write = ast.Assign([store(name)], load("_sx_new"))
        return define(f"_sx_set_{name}", [*self.declared({name}), write], ("_sx_new",))

    def statements(self, block: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in block:
            touched = sorted(assigned(statement) & self.rebound)
            done += [at(statement, self.rebinding(name)) for name in touched]
            new = self.visit(statement)
            done += at(statement, new if isinstance(new, list) else [new] if new is not None else [])
        return done

    def rebinding(self, name: str) -> ast.stmt:
        return ast.Expr(hook("rebinding", ast.Constant(name), thunk(load(name)), load(f"_sx_set_{name}")))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if is_generator(node):
            return node
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        defaults = [self.passed(d) for d in node.args.defaults], [d and self.passed(d) for d in node.args.kw_defaults]
        node = self.body_of(node)
        self.clear_defaults(node)
        node.args.defaults, node.args.kw_defaults = defaults
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Its methods are lifted when they are called; its body is not, and reads names that have a value."""
        inside = [s for s in node.body if not isinstance(s, SCOPES)]
        names = set().union(*map(loads, inside)) & self.locals - set().union(*map(assigned, node.body))
        return [*(at(node, ast.Expr(hook("ld", load(name)))) for name in sorted(names)), node]

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self.refuse(node, "async functions are not lifted", "a plain function")

    def visit_AsyncFor(self, node: ast.AsyncFor) -> Any:
        return self.refuse(node, "async loops are not lifted", "a plain loop")

    # -- control flow

    def name(self, what: str) -> str:
        return f"{HOOKS}{what}{next(self.numbers)}"

    def state(self, names: list[str]) -> tuple[list[ast.stmt], str, str]:
        """Functions that read and set the names that a block hands on."""
        get, set_ = self.name("get"), self.name("set")
        read = ast.Return(ast.Tuple([load(n) for n in names], ast.Load()))
        target = ast.Tuple([store(n) for n in names], ast.Store())
        write: list[ast.stmt] = [*nonlocals(names, set(names)), ast.Assign([target], load("_sx_new"))] if names else []
        return [define(get, [read]), define(set_, write, ("_sx_new",))], get, set_

    def inner(
        self, name: str, body: list[ast.stmt], state: list[str], args: tuple[str, ...] = (), extra=()
    ) -> ast.stmt:
        """A block as a function: what it hands on belongs to the function around, other names to itself."""
        written = set().union(set(), *map(assigned, body))
        own = written - set(state) - self.rebound
        start = [*nonlocals(state, set(state)), *self.declared(written), *self.undefined(sorted(own))]
        return define(name, [*start, *extra, *self.statements(body)], args)

    def visit_If(self, node: ast.If) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        then, orelse = self.name("then"), self.name("else")
        run = hook("if_", self.test(node.test), *map(load, (then, orelse, get, set_)), strings(names))
        return [
            *state,
            self.inner(then, node.body, names),
            self.inner(orelse, node.orelse, names),
            at(node.test, ast.Expr(run)),
        ]

    def visit_While(self, node: ast.While) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        test, body = self.name("test"), self.name("body")
        named = sorted({n.target.id for n in ast.walk(node.test) if isinstance(n, ast.NamedExpr)})
        check = define(test, [*nonlocals(named, set(names)), ast.Return(self.loop_test(node))])
        run = hook("while_", *map(load, (test, body, get, set_)), strings(names))
        return [*state, at(node.test, check), self.inner(body, node.body, names), at(node.test, ast.Expr(run))]

    def loop_test(self, node: ast.While) -> ast.expr:
        flags: list[str] = getattr(node, "flags", [])
        if not flags:
            return self.test(node.test)
        return self.test(at(node.test, ast.BoolOp(ast.And(), [*map(negated, flags), node.test])))

    def visit_For(self, node: ast.For) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        body = self.name("body")
        flags: list[str] = getattr(node, "flags", [])
        ended: ast.expr = ast.Constant(None)
        before: list[ast.stmt] = []
        if flags:
            test = self.name("test")
            values = [negated(f) for f in flags]
            before = [
                define(
                    test,
                    [
                        ast.Return(
                            self.visit(at(node.iter, values[0] if len(values) == 1 else ast.BoolOp(ast.And(), values)))
                        )
                    ],
                )
            ]
            ended = load(test)
        bind = ast.Assign([node.target], load("_sx_item"))
        item = at(node.target, bind)
        run = hook("for_", self.visit(node.iter), ended, *map(load, (body, get, set_)), strings(names))
        inner = self.inner(body, [item, *node.body], names, ("_sx_item",))
        return [*state, *at(node.iter, before), inner, at(node.iter, ast.Expr(run))]

    def visit_With(self, node: ast.With) -> Any:
        node.items = [
            ast.withitem(at(node, hook("managed", self.visit(i.context_expr))), i.optional_vars) for i in node.items
        ]
        node.body = self.statements(node.body)
        return node

    def visit_Try(self, node: ast.Try) -> Any:
        failing = [h for h in node.handlers if _fails_again(h)]
        node.body = self.statements(node.body)
        for handler in node.handlers:
            handler.body = self.statements(handler.body)
            handler.type = handler.type and self.visit(handler.type)
        if node.handlers:
            ending = [h for h in node.handlers if h not in failing]
            caught = [h.type if h.type is not None else load("BaseException") for h in ending]
            guard = hook("trying", *[copy.deepcopy(c) for c in caught])
            node.body = [at(node, ast.With([ast.withitem(guard, None)], node.body))]
            passing = ast.Attribute(load(HOOKS), "passing", ast.Load())
            node.handlers.insert(0, at(node, ast.ExceptHandler(passing, None, [ast.Raise(None, None)])))
        node.orelse, node.finalbody = self.statements(node.orelse), self.statements(node.finalbody)
        return node

    def visit_Match(self, node: ast.Match) -> Any:
        node.subject = self.visit(node.subject)
        for case in node.cases:
            case.guard = case.guard and self.visit(case.guard)
            case.body = self.statements(case.body)
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        message = thunk(self.visit(node.msg)) if node.msg else ast.Constant(None)
        return ast.Expr(hook("assert_", self.test(node.test), message))

    def visit_Raise(self, node: ast.Raise) -> Any:
        if node.exc is None:
            return node
        node.exc = hook("raised", self.visit(node.exc))
        node.cause = node.cause and self.visit(node.cause)
        return node

    # -- assignments

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.passed(node.value)
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        kept = self.name("kept")
        done: list[ast.stmt] = [ast.Assign([store(kept)], value)]
        for target in node.targets:
            done += self.assign(target, load(kept))
        return done

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return self.assign(node.target, self.passed(node.value)) if node.value else ast.Pass()

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Subscript):
            return [
                at(target, ast.Expr(hook("assign_item", value, self.visit(target.value), self.index(target.slice))))
            ]
        if isinstance(target, ast.Attribute):
            return [at(target, ast.Expr(self.set_attribute(target, value)))]
        if isinstance(target, (ast.Tuple, ast.List)):
            value = at(target, hook("settle", value))
            if all(isinstance(part, ast.Name) for part in unpacked(target)):
                return [ast.Assign([target], value)]
            later: list[ast.stmt] = []
            simple = self.simplified(target, later)
            return [ast.Assign([simple], value), *later]
        return [ast.Assign([target], value)]

    def simplified(self, target: ast.expr, later: list[ast.stmt]) -> ast.expr:
        """Names of our own; the targets themselves are assigned to `later`, in their order."""
        if isinstance(target, (ast.Tuple, ast.List)):
            return type(target)([self.simplified(t, later) for t in target.elts], ast.Store())
        if isinstance(target, ast.Starred):
            return ast.Starred(self.simplified(target.value, later), ast.Store())
        kept = self.name("kept")
        later += self.assign(target, load(kept))
        return store(kept)

    def set_attribute(self, target: ast.Attribute, value: ast.expr) -> ast.expr:
        return hook("assign_attribute", value, self.visit(target.value), ast.Constant(self.mangled(target.attr)))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        op, value = ast.Constant(type(node.op).__name__), self.visit(node.value)
        target = node.target
        if isinstance(target, ast.Name):
            return ast.Assign([target], hook("augment", op, hook("ld", load(target.id)), value))
        if isinstance(target, ast.Subscript):
            place = hook("item_place", self.visit(target.value), self.index(target.slice))
            return ast.Expr(hook("augment_item", op, place, value))
        place = hook("attribute_place", self.visit(target.value), ast.Constant(self.mangled(target.attr)))
        return ast.Expr(hook("augment_attribute", op, place, value))

    def visit_Delete(self, node: ast.Delete) -> Any:
        done: list[ast.stmt] = []
        for target in node.targets:
            if isinstance(target, ast.Name):
                done += self.undefined([target.id])
            elif isinstance(target, ast.Subscript):
                done.append(ast.Expr(hook("delete", self.visit(target.value), self.index(target.slice))))
            else:
                done.append(ast.Delete([target]))
        return done

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Any:
        return None

    def visit_Global(self, node: ast.Global) -> Any:
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "append"
            and len(call.args) == 1
        ):
            # Appending does not read the list: a loop may stay a loop.
            node.value = at(call, hook("append", self.unread(call.func.value), self.passed(call.args[0])))
            return node
        node.value = self.unread(call) if isinstance(call, ast.Call) else self.visit(call)
        return node

    def visit_Return(self, node: ast.Return) -> Any:
        if node.value is not None and not (isinstance(node.value, ast.Call) and is_hook(node.value.func)):
            node.value = at(node, hook("handed", self.passed(node.value)))
        return node


def _fails_again(handler: ast.ExceptHandler) -> bool:
    """Does it end in a `raise` in any case? Then the program fails with it as without it."""
    leaves = any(isinstance(n, (ast.Return, ast.Break, ast.Continue)) for n in ast.walk(handler))
    return isinstance(handler.body[-1], ast.Raise) and not leaves
