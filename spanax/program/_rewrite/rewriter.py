"""A function's syntax tree with hooks: each call, branch, loop, write and truth value goes through `_sx_`.

`if test: A else: B` becomes two functions and a call, as in AutoGraph (Moldovan et al., 2018):

    def then(): nonlocal x; A
    def orelse(): nonlocal x; B
    _sx_.if_(test, then, orelse, get, set_, ("x",))

`get` and `set_` read and assign the names that the block hands on (`liveness`): so the hook can run both branches in turn on
the same variables, and take back what the first one did. Jumps are gone before (`jumps`), expressions are `expressions`.
"""

from __future__ import annotations

import ast
import copy
from itertools import count
from typing import Any

from .expressions import Expressions
from .jumps import lower_jumps
from .liveness import SCOPES, annotate, assigned_names, loads
from .source import Function, is_generator, own_nodes
from .syntax import (
    HOOKS,
    at,
    define,
    flatten_target,
    hook,
    is_hook,
    load,
    nonlocals,
    not_flag,
    parameters,
    split_docstring,
    store,
    strings,
    thunk,
)


def rewrite(tree: Function, file: str, owner: str | None) -> Function:
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
        # The function object that is lifted is what its decorators were given, or what they have made is lifted in turn.
        node.decorator_list = []
        self.clear_defaults(node)
        return self.body_of(node)

    def clear_defaults(self, node: ast.FunctionDef) -> None:
        """They are taken from the function object: they were evaluated when it was made, and must not be again."""
        node.args.defaults = [at(node, ast.Constant(None)) for _ in node.args.defaults]
        node.args.kw_defaults = [d and at(node, ast.Constant(None)) for d in node.args.kw_defaults]
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None

    def body_of(self, node: ast.FunctionDef) -> ast.FunctionDef:
        around = self.first, self.rebound, self.globals, self.locals
        own_parameters = parameters(node.args)
        self.enter(node, own_parameters)
        statements = [s for s in node.body if not isinstance(s, (ast.Nonlocal, ast.Global))]
        names = set().union(*map(assigned_names, statements)) - self.rebound
        lowered = lower_jumps(statements) if statements else [at(node, ast.Pass())]
        names |= {n for s in lowered for n in assigned_names(s) if n.startswith(HOOKS)}  # the flags of jumps
        annotate(lowered, self.rebound)
        self.locals = self.locals | names | set(own_parameters)
        start = self.declare_outer(self.rebound)
        start += [self.setter(name) for name in sorted(self.rebound)]
        # Names have a value from the start, so that a block can hand on a name that it may not have assigned.
        start += self.mark_undefined(sorted(names - set(own_parameters)))
        text, lowered = split_docstring(lowered)
        node.body = text + at(node, start) + self.statements(lowered)
        self.first, self.rebound, self.globals, self.locals = around
        return node

    def enter(self, node: ast.FunctionDef, own_parameters: list[str]) -> None:
        """What follows belongs to this function."""
        outer = [n for n in own_nodes(node) if isinstance(n, (ast.Global, ast.Nonlocal))]
        self.first = own_parameters[0] if own_parameters else None
        self.rebound = {name for n in outer for name in n.names}
        self.globals = {name for n in outer if isinstance(n, ast.Global) for name in n.names}

    def declare_outer(self, names: set[str]) -> list[ast.stmt]:
        """Those of the names that live elsewhere, as such."""
        outer, world = sorted(names & (self.rebound - self.globals)), sorted(names & self.globals)
        return [*([ast.Nonlocal(outer)] if outer else []), *([ast.Global(world)] if world else [])]

    def mark_undefined(self, names: list[str]) -> list[ast.stmt]:
        return [ast.Assign([store(n)], hook("Undefined", ast.Constant(n))) for n in names]

    def setter(self, name: str) -> ast.stmt:
        write = ast.Assign([store(name)], load("_sx_new"))
        return define(f"_sx_set_{name}", [*self.declare_outer({name}), write], ("_sx_new",))

    def statements(self, block: list[ast.stmt]) -> list[ast.stmt]:
        rewritten: list[ast.stmt] = []
        for statement in block:
            # A variable of a function around outlives the block: what the block does to it is recorded, and can be undone.
            touched = sorted(assigned_names(statement) & self.rebound)
            rewritten += [at(statement, self.note_rebinding(name)) for name in touched]
            new = self.visit(statement)
            rewritten += at(statement, new if isinstance(new, list) else [new] if new is not None else [])
        return rewritten

    def note_rebinding(self, name: str) -> ast.stmt:
        return ast.Expr(hook("rebind", ast.Constant(name), thunk(load(name)), load(f"_sx_set_{name}")))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if is_generator(node):
            return node  # it stops and goes on, which functions of blocks cannot: it runs as it is, on values that are known
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        defaults = [self.hand_on(d) for d in node.args.defaults], [d and self.hand_on(d) for d in node.args.kw_defaults]
        # Defaults are evaluated around the function, before its names become those that the rewriting knows.
        node = self.body_of(node)
        self.clear_defaults(node)
        node.args.defaults, node.args.kw_defaults = defaults
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Its methods are lifted when they are called; its body is not, and reads names that have a value."""
        inside = [s for s in node.body if not isinstance(s, SCOPES)]
        names = set().union(*map(loads, inside)) & self.locals - set().union(*map(assigned_names, node.body))
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
        # All names at once, as a tuple: the hook need not know how many there are, and a set is undone by one call.
        get, set_ = self.name("get"), self.name("set")
        read = ast.Return(ast.Tuple([load(n) for n in names], ast.Load()))
        target = ast.Tuple([store(n) for n in names], ast.Store())
        write: list[ast.stmt] = [*nonlocals(names, set(names)), ast.Assign([target], load("_sx_new"))] if names else []
        return [define(get, [read]), define(set_, write, ("_sx_new",))], get, set_

    def inner(
        self, name: str, body: list[ast.stmt], state: list[str], args: tuple[str, ...] = (), extra=()
    ) -> ast.stmt:
        """A block as a function: what it hands on belongs to the function around, other names to itself."""
        written = set().union(set(), *map(assigned_names, body))
        # A name that is not needed afterwards stays inside, where each block may bind it to another kind of value.
        own = written - set(state) - self.rebound
        start = [*nonlocals(state, set(state)), *self.declare_outer(written), *self.mark_undefined(sorted(own))]
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
        # What `:=` in the test names belongs to the function around, not to the function that the test becomes.
        named = sorted({n.target.id for n in ast.walk(node.test) if isinstance(n, ast.NamedExpr)})
        check = define(test, [*nonlocals(named, set(names)), ast.Return(self.loop_test(node))])
        run = hook("while_", *map(load, (test, body, get, set_)), strings(names))
        return [*state, at(node.test, check), self.inner(body, node.body, names), at(node.test, ast.Expr(run))]

    def loop_test(self, node: ast.While) -> ast.expr:
        flags: list[str] = getattr(node, "flags", [])
        if not flags:
            return self.test(node.test)
        return self.test(at(node.test, ast.BoolOp(ast.And(), [*map(not_flag, flags), node.test])))

    def visit_For(self, node: ast.For) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        body = self.name("body")
        before, going = self.flags_test(node)
        item = at(node.target, ast.Assign([node.target], load("_sx_item")))
        run = hook("for_", self.visit(node.iter), going, *map(load, (body, get, set_)), strings(names))
        inner = self.inner(body, [item, *node.body], names, ("_sx_item",))
        return [*state, *at(node.iter, before), inner, at(node.iter, ast.Expr(run))]

    def flags_test(self, node: ast.For) -> tuple[list[ast.stmt], ast.expr]:
        """A function that says whether no jump has ended the loop, and its name; None where the loop has no jump."""
        flags: list[str] = getattr(node, "flags", [])
        if not flags:
            return [], ast.Constant(None)
        test = self.name("test")
        values = [not_flag(f) for f in flags]
        none_set = values[0] if len(values) == 1 else ast.BoolOp(ast.And(), values)
        return [define(test, [ast.Return(self.visit(at(node.iter, none_set)))])], load(test)

    def visit_With(self, node: ast.With) -> Any:
        node.items = [
            ast.withitem(at(node, hook("manage_context", self.visit(i.context_expr))), i.optional_vars)
            for i in node.items
        ]
        node.body = self.statements(node.body)
        return node

    def visit_Try(self, node: ast.Try) -> Any:
        # Before they are rewritten: the hooks hide how a handler ends.
        ending = [h for h in node.handlers if not _fails_again(h)]
        node.body = self.statements(node.body)
        for handler in node.handlers:
            handler.body = self.statements(handler.body)
            handler.type = handler.type and self.visit(handler.type)
        if node.handlers:
            self.guard_try(node, ending)
        node.orelse, node.finalbody = self.statements(node.orelse), self.statements(node.finalbody)
        return node

    def guard_try(self, node: ast.Try, ending: list[ast.ExceptHandler]) -> None:
        """Inside the body, what the handlers in `ending` would catch must be known while the program is traced. Errors of the
        lifting itself pass them all: a bare `except` of the program's must not swallow the diagnosis."""
        caught = [h.type if h.type is not None else load("BaseException") for h in ending]
        guard = hook("try_block", *[copy.deepcopy(c) for c in caught])
        node.body = [at(node, ast.With([ast.withitem(guard, None)], node.body))]
        passing = ast.Attribute(load(HOOKS), "passing", ast.Load())
        node.handlers.insert(0, at(node, ast.ExceptHandler(passing, None, [ast.Raise(None, None)])))

    def visit_Match(self, node: ast.Match) -> Any:
        node.subject = self.visit(node.subject)
        for case in node.cases:
            case.guard = case.guard and self.visit(case.guard)
            case.body = self.statements(case.body)
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        # The message is a text of values that may not be known: it is made only where the assertion fails.
        message = thunk(self.visit(node.msg)) if node.msg else ast.Constant(None)
        return ast.Expr(hook("assert_", self.test(node.test), message))

    def visit_Raise(self, node: ast.Raise) -> Any:
        if node.exc is None:
            return node
        node.exc = hook("error_to_raise", self.visit(node.exc))
        node.cause = node.cause and self.visit(node.cause)
        return node

    # -- assignments

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.hand_on(node.value)
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        kept = self.name("kept")  # the value is computed once for all targets
        statements: list[ast.stmt] = [ast.Assign([store(kept)], value)]
        for target in node.targets:
            statements += self.assign(target, load(kept))
        return statements

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return self.assign(node.target, self.hand_on(node.value)) if node.value else ast.Pass()

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Subscript):
            return [
                at(target, ast.Expr(hook("assign_item", value, self.visit(target.value), self.index(target.slice))))
            ]
        if isinstance(target, ast.Attribute):
            return [at(target, ast.Expr(self.set_attribute(target, value)))]
        if isinstance(target, (ast.Tuple, ast.List)):
            value = at(target, hook("settle", value))
            if all(isinstance(part, ast.Name) for part in flatten_target(target)):
                # Python unpacks by itself, and calls what the value's class says.
                return [ast.Assign([target], value)]
            later: list[ast.stmt] = []
            simple = self.simplify_target(target, later)
            return [ast.Assign([simple], value), *later]
        return [ast.Assign([target], value)]

    def simplify_target(self, target: ast.expr, later: list[ast.stmt]) -> ast.expr:
        """Names of our own; the targets themselves are assigned to `later`, in their order."""
        if isinstance(target, (ast.Tuple, ast.List)):
            return type(target)([self.simplify_target(t, later) for t in target.elts], ast.Store())
        if isinstance(target, ast.Starred):
            return ast.Starred(self.simplify_target(target.value, later), ast.Store())
        kept = self.name("kept")
        later += self.assign(target, load(kept))
        return store(kept)

    def set_attribute(self, target: ast.Attribute, value: ast.expr) -> ast.expr:
        return hook("assign_attribute", value, self.visit(target.value), ast.Constant(self.mangle(target.attr)))

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        # Python evaluates the parts of the target once, reads, operates and writes: so a place is made first, and used twice.
        op, value = ast.Constant(type(node.op).__name__), self.visit(node.value)
        target = node.target
        if isinstance(target, ast.Name):
            return ast.Assign([target], hook("augment", op, hook("ld", load(target.id)), value))
        if isinstance(target, ast.Subscript):
            place = hook("item_place", self.visit(target.value), self.index(target.slice))
            return ast.Expr(hook("augment_item", op, place, value))
        place = hook("attribute_place", self.visit(target.value), ast.Constant(self.mangle(target.attr)))
        return ast.Expr(hook("augment_attribute", op, place, value))

    def visit_Delete(self, node: ast.Delete) -> Any:
        statements: list[ast.stmt] = []
        for target in node.targets:
            # A deleted name reads as one that was never assigned, also on some branches only.
            if isinstance(target, ast.Name):
                statements += self.mark_undefined([target.id])
            elif isinstance(target, ast.Subscript):
                statements.append(ast.Expr(hook("delete", self.visit(target.value), self.index(target.slice))))
            else:
                statements.append(ast.Delete([target]))
        return statements

    def visit_Nonlocal(self, node: ast.Nonlocal) -> Any:
        return None

    def visit_Global(self, node: ast.Global) -> Any:
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if (parts := _append_parts(call)) is not None:
            # Appending does not read the list: a loop may stay a loop.
            target, item = parts
            node.value = at(call, hook("append", self.unread(target), self.hand_on(item)))
            return node
        # The value of a statement is not read, so it may be missing: a function that returns None on some branches.
        node.value = self.unread(call) if isinstance(call, ast.Call) else self.visit(call)
        return node

    def visit_Return(self, node: ast.Return) -> Any:
        # The `return` that `jumps` has made calls a hook already.
        if node.value is not None and not (isinstance(node.value, ast.Call) and is_hook(node.value.func)):
            node.value = at(node, hook("hand_back", self.hand_on(node.value)))
        return node


def _append_parts(call: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """x and y of `x.append(y)`."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or len(call.args) != 1:
        return None
    return (call.func.value, call.args[0]) if call.func.attr == "append" else None


def _fails_again(handler: ast.ExceptHandler) -> bool:
    """Does it end in a `raise` in any case? Then the program fails with it as without it."""
    leaves = any(isinstance(n, (ast.Return, ast.Break, ast.Continue)) for n in ast.walk(handler))
    return isinstance(handler.body[-1], ast.Raise) and not leaves
