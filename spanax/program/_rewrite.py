"""A function's syntax tree with hooks: each call, branch, loop, write and truth value goes through `_sx_`."""

from __future__ import annotations

import ast
import copy
from itertools import count
from typing import Any

from ._jumps import lower_jumps
from ._liveness import annotate, assigned
from ._session import LiftError
from ._source import Function, is_generator, own_nodes

HOOKS = "_sx_"
_INTERNAL = ("_sx_",)
_NATIVE = frozenset("locals globals eval exec vars dir breakpoint".split())


def rewritten(tree: Function, file: str, owner: str | None) -> Function:
    """`owner`: the name of the class that the function was defined in, for private names."""
    return _Rewriter(file, owner).function(copy.deepcopy(tree))


def hook(name: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.Call:
    return ast.Call(ast.Attribute(_load(HOOKS), name, ast.Load()), list(args), keywords or [])


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def _thunk(expression: ast.expr) -> ast.Lambda:
    return ast.Lambda(ast.arguments([], [], None, [], [], None, []), expression)


def _at(place: ast.AST, node: Any) -> Any:
    """New nodes, at the line of an old one; those that have a line keep it."""
    nodes = node if isinstance(node, list) else [node]
    for new in nodes:
        for part in ast.walk(new):
            if "lineno" in part._attributes and not hasattr(part, "lineno"):
                ast.copy_location(part, place)
    return node


def _define(name: str, body: list[ast.stmt], args: tuple[str, ...] = ()) -> ast.FunctionDef:
    given = ast.arguments([], [ast.arg(a) for a in args], None, [], [], None, [])
    return ast.FunctionDef(name, given, body or [ast.Pass()], [], None, None)


def _outside(names: list[str], outer: set[str]) -> list[ast.stmt]:
    return [ast.Nonlocal([n for n in names if n in outer])] if any(n in outer for n in names) else []


class _Rewriter(ast.NodeTransformer):
    def __init__(self, file: str, owner: str | None):
        self.file, self.owner = file, owner
        self.numbers = count(1)
        self.locals: set[str] = set()  # of the function and of those around it, in the same source
        self.first: str | None = None  # its first parameter
        self.rebound: set[str] = set()  # names of functions around, and global ones, that this one gives new values to
        self.globals: set[str] = set()  # the global ones of them

    # -- functions

    def function(self, node: Function) -> Function:
        if isinstance(node, ast.Lambda):
            node.args.defaults = [ast.Constant(None) for _ in node.args.defaults]
            node.args.kw_defaults = [d and ast.Constant(None) for d in node.args.kw_defaults]
            return _at(node, self.visit_Lambda(node))
        node.decorator_list = []
        self.clear_defaults(node)
        return self.body_of(node)

    def clear_defaults(self, node: ast.FunctionDef) -> None:
        """They are taken from the function object."""
        node.args.defaults = [_at(node, ast.Constant(None)) for _ in node.args.defaults]
        node.args.kw_defaults = [d and _at(node, ast.Constant(None)) for d in node.args.kw_defaults]
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None

    def body_of(self, node: ast.FunctionDef) -> ast.FunctionDef:
        before = self.locals, self.first, self.rebound, self.globals
        parameters = _parameters(node.args)
        self.rebound = {name for n in own_nodes(node) if isinstance(n, (ast.Global, ast.Nonlocal)) for name in n.names}
        self.globals = {name for n in own_nodes(node) if isinstance(n, ast.Global) for name in n.names}
        statements = [s for s in node.body if not isinstance(s, (ast.Nonlocal, ast.Global))]
        names = set().union(*map(assigned, statements)) - self.rebound
        lowered = lower_jumps(statements) if statements else [_at(node, ast.Pass())]
        names |= {n for s in lowered for n in assigned(s) if n.startswith(HOOKS)}
        annotate(lowered, self.rebound)
        self.locals = self.locals | names | set(parameters)
        self.first = parameters[0] if parameters else None
        start = self.declared(self.rebound)
        start += [self.setter(name) for name in sorted(self.rebound)]
        start += self.undefined(sorted(names - set(parameters)))
        docstring, lowered = _docstring(lowered)
        node.body = docstring + _at(node, start) + self.statements(lowered)
        self.locals, self.first, self.rebound, self.globals = before
        return node

    def declared(self, names: set[str]) -> list[ast.stmt]:
        """Those of the names that live elsewhere, as such."""
        outer, world = sorted(names & (self.rebound - self.globals)), sorted(names & self.globals)
        return [*([ast.Nonlocal(outer)] if outer else []), *([ast.Global(world)] if world else [])]

    def refuse(self, node: ast.AST, problem: str, *remedies: str) -> None:
        place = f"{self.file}:{getattr(node, 'lineno', 0)}"
        raise LiftError(
            problem, place, *(remedies or ("an argument and a result instead", "an attribute of an object"))
        )

    def undefined(self, names: list[str]) -> list[ast.stmt]:
        return [ast.Assign([_store(n)], hook("Undefined", ast.Constant(n))) for n in names]

    def setter(self, name: str) -> ast.stmt:
        write = ast.Assign([_store(name)], _load("_sx_new"))
        return _define(f"_sx_set_{name}", [*self.declared({name}), write], ("_sx_new",))

    def statements(self, block: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in block:
            touched = sorted(assigned(statement) & self.rebound)
            done += [_at(statement, self.rebinding(name)) for name in touched]
            new = self.visit(statement)
            done += _at(statement, new if isinstance(new, list) else [new] if new is not None else [])
        return done

    def rebinding(self, name: str) -> ast.stmt:
        return ast.Expr(hook("rebinding", ast.Constant(name), _thunk(_load(name)), _load(f"_sx_set_{name}")))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if is_generator(node):
            return node
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        defaults = [self.visit(d) for d in node.args.defaults], [d and self.visit(d) for d in node.args.kw_defaults]
        node = self.body_of(node)
        self.clear_defaults(node)
        node.args.defaults, node.args.kw_defaults = defaults
        return node

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        before = self.locals
        self.locals = self.locals | set(_parameters(node.args))
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.visit(d) for d in node.args.kw_defaults]
        node.body = self.visit(node.body)
        self.locals = before
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return node  # its methods are lifted when they are called

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
        read = ast.Return(ast.Tuple([_load(n) for n in names], ast.Load()))
        target = ast.Tuple([_store(n) for n in names], ast.Store())
        write: list[ast.stmt] = [*_outside(names, set(names)), ast.Assign([target], _load("_sx_new"))] if names else []
        return [_define(get, [read]), _define(set_, write, ("_sx_new",))], get, set_

    def inner(
        self, name: str, body: list[ast.stmt], state: list[str], args: tuple[str, ...] = (), extra=()
    ) -> ast.stmt:
        """A block as a function: what it hands on belongs to the function around, other names to itself."""
        written = set().union(set(), *map(assigned, body))
        own = written - set(state) - self.rebound
        start = [*_outside(state, set(state)), *self.declared(written), *self.undefined(sorted(own))]
        return _define(name, [*start, *extra, *self.statements(body)], args)

    def visit_If(self, node: ast.If) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        then, orelse = self.name("then"), self.name("else")
        run = hook("if_", self.visit(node.test), *map(_load, (then, orelse, get, set_)), _strings(names))
        return [
            *state,
            self.inner(then, node.body, names),
            self.inner(orelse, node.orelse, names),
            _at(node.test, ast.Expr(run)),
        ]

    def visit_While(self, node: ast.While) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        test, body = self.name("test"), self.name("body")
        named = sorted({n.target.id for n in ast.walk(node.test) if isinstance(n, ast.NamedExpr)})
        check = _define(test, [*_outside(named, set(names)), ast.Return(self.loop_test(node))])
        run = hook("while_", *map(_load, (test, body, get, set_)), _strings(names))
        return [*state, _at(node.test, check), self.inner(body, node.body, names), _at(node.test, ast.Expr(run))]

    def loop_test(self, node: ast.While) -> ast.expr:
        flags: list[str] = getattr(node, "flags", [])
        if not flags:
            return self.visit(node.test)
        return self.visit(_at(node.test, ast.BoolOp(ast.And(), [*map(_negated, flags), node.test])))

    def visit_For(self, node: ast.For) -> Any:
        names = node.state  # type: ignore[attr-defined]
        state, get, set_ = self.state(names)
        body = self.name("body")
        flags: list[str] = getattr(node, "flags", [])
        ended: ast.expr = ast.Constant(None)
        before: list[ast.stmt] = []
        if flags:
            test = self.name("test")
            values = [_negated(f) for f in flags]
            before = [
                _define(
                    test,
                    [
                        ast.Return(
                            self.visit(_at(node.iter, values[0] if len(values) == 1 else ast.BoolOp(ast.And(), values)))
                        )
                    ],
                )
            ]
            ended = _load(test)
        bind = ast.Assign([node.target], _load("_sx_item"))
        item = _at(node.target, bind)
        run = hook("for_", self.visit(node.iter), ended, *map(_load, (body, get, set_)), _strings(names))
        inner = self.inner(body, [item, *node.body], names, ("_sx_item",))
        return [*state, *_at(node.iter, before), inner, _at(node.iter, ast.Expr(run))]

    def visit_With(self, node: ast.With) -> Any:
        node.items = [ast.withitem(self.visit(i.context_expr), i.optional_vars) for i in node.items]
        node.body = self.statements(node.body)
        return node

    def visit_Try(self, node: ast.Try) -> Any:
        node.body = self.statements(node.body)
        for handler in node.handlers:
            handler.body = self.statements(handler.body)
            handler.type = handler.type and self.visit(handler.type)
        if node.handlers:
            caught = [h.type if h.type is not None else _load("BaseException") for h in node.handlers]
            guard = hook("trying", *[copy.deepcopy(c) for c in caught])
            node.body = [_at(node, ast.With([ast.withitem(guard, None)], node.body))]
            passing = ast.Attribute(_load(HOOKS), "passing", ast.Load())
            node.handlers.insert(0, _at(node, ast.ExceptHandler(passing, None, [ast.Raise(None, None)])))
        node.orelse, node.finalbody = self.statements(node.orelse), self.statements(node.finalbody)
        return node

    def visit_Match(self, node: ast.Match) -> Any:
        node.subject = self.visit(node.subject)
        for case in node.cases:
            case.guard = case.guard and self.visit(case.guard)
            case.body = self.statements(case.body)
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        message = _thunk(self.visit(node.msg)) if node.msg else ast.Constant(None)
        return ast.Expr(hook("assert_", self.visit(node.test), message))

    def visit_Raise(self, node: ast.Raise) -> Any:
        if node.exc is None:
            return node
        node.exc = hook("raised", self.visit(node.exc))
        node.cause = node.cause and self.visit(node.cause)
        return node

    # -- assignments

    def visit_Assign(self, node: ast.Assign) -> Any:
        value = self.visit(node.value)
        if len(node.targets) == 1:
            return self.assign(node.targets[0], value)
        kept = self.name("kept")
        done: list[ast.stmt] = [ast.Assign([_store(kept)], value)]
        for target in node.targets:
            done += self.assign(target, _load(kept))
        return done

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return self.assign(node.target, self.visit(node.value)) if node.value else ast.Pass()

    def assign(self, target: ast.expr, value: ast.expr) -> list[ast.stmt]:
        if isinstance(target, ast.Subscript):
            return [_at(target, ast.Expr(hook("store", self.visit(target.value), self.index(target.slice), value)))]
        if isinstance(target, ast.Attribute):
            return [_at(target, ast.Expr(self.set_attribute(target, value)))]
        if isinstance(target, (ast.Tuple, ast.List)):
            later: list[ast.stmt] = []
            simple = self.simplified(target, later)
            return [ast.Assign([simple], value), *later]
        return [ast.Assign([target], value)]

    def simplified(self, target: ast.expr, later: list[ast.stmt]) -> ast.expr:
        """Names only; what else is assigned to comes `later`."""
        if isinstance(target, (ast.Tuple, ast.List)):
            return type(target)([self.simplified(t, later) for t in target.elts], ast.Store())
        if isinstance(target, ast.Starred):
            return ast.Starred(self.simplified(target.value, later), ast.Store())
        if isinstance(target, ast.Name):
            return target
        kept = self.name("kept")
        later += self.assign(target, _load(kept))
        return _store(kept)

    def set_attribute(self, target: ast.Attribute, value: ast.expr) -> ast.expr:
        return hook("set_attribute", self.visit(target.value), ast.Constant(self.mangled(target.attr)), value)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        op, value = ast.Constant(type(node.op).__name__), self.visit(node.value)
        target = node.target
        if isinstance(target, ast.Name):
            return ast.Assign([target], hook("augment", op, hook("ld", _load(target.id)), value))
        if isinstance(target, ast.Subscript):
            return ast.Expr(hook("augment_item", op, self.visit(target.value), self.index(target.slice), value))
        owner = self.visit(target.value)
        return ast.Expr(hook("augment_attribute", op, owner, ast.Constant(self.mangled(target.attr)), value))

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

    visit_Global = visit_Nonlocal

    def visit_Expr(self, node: ast.Expr) -> Any:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "append"
            and len(call.args) == 1
        ):
            # Appending does not read the list: a loop may stay a loop.
            node.value = _at(call, hook("append", self.unread(call.func.value), self.visit(call.args[0])))
            return node
        node.value = self.visit(call)
        return node

    def unread(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            return hook("attribute_unread", self.visit(node.value), ast.Constant(self.mangled(node.attr)))
        return self.visit(node)

    # -- expressions

    def mangled(self, name: str) -> str:
        private = self.owner and name.startswith("__") and not name.endswith("__")
        return f"_{self.owner.lstrip('_')}{name}" if private and self.owner else name

    def visit_Name(self, node: ast.Name) -> Any:
        if not isinstance(node.ctx, ast.Load) or node.id.startswith(_INTERNAL):
            return node
        return _at(node, hook("ld", node))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return node
        return _at(node, hook("attribute", self.visit(node.value), ast.Constant(self.mangled(node.attr))))

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        return _at(node, hook("item", self.unread(node.value), self.index(node.slice)))

    def index(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Slice):
            bounds = [
                self.visit(b) if b else _at(node, ast.Constant(None)) for b in (node.lower, node.upper, node.step)
            ]
            return _at(node, hook("slice", *bounds))
        if isinstance(node, ast.Tuple):
            return _at(node, ast.Tuple([self.index(e) for e in node.elts], ast.Load()))
        return self.visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Name):
            if function.id == "super" and not node.args and self.first:
                return _at(node, ast.Call(_load("super"), [_load("__class__"), _load(self.first)], []))
            if function.id in _NATIVE:
                self.refuse(node, f"{function.id}() is not lifted", "plain names and calls")
        args = [self.visit(a) for a in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return _at(node, hook("call", self.visit(function), *args, keywords=keywords))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        first, *rest = (self.visit(v) for v in node.values)
        for value in node.values[1:]:
            self.no_walrus(value)
        return _at(node, hook(name, first, *map(_thunk, rest)))

    def no_walrus(self, node: ast.expr) -> None:
        for n in ast.walk(node):
            if isinstance(n, ast.NamedExpr):
                self.refuse(n, ":= in a part of an expression that may not be evaluated", "an assignment before it")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.operand, ast.Constant) and not isinstance(node.op, ast.Not):
            return node
        operand = self.visit(node.operand)
        return (
            _at(node, hook("not_", operand))
            if isinstance(node.op, ast.Not)
            else _at(node, ast.UnaryOp(node.op, operand))
        )

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        self.no_walrus(node.body), self.no_walrus(node.orelse)
        parts = _thunk(self.visit(node.body)), _thunk(self.visit(node.orelse))
        return _at(node, hook("choose", self.visit(node.test), *parts))

    def visit_Compare(self, node: ast.Compare) -> Any:
        operators = [type(o).__name__ for o in node.ops]
        if (
            operators in (["Is"], ["IsNot"])
            and isinstance(node.comparators[0], ast.Constant)
            and node.comparators[0].value is None
        ):
            test = hook("is_none", self.unread(node.left))
            return _at(node, test if operators == ["Is"] else hook("not_", test))
        if len(operators) == 1 and operators[0] not in ("In", "NotIn"):
            node.left, node.comparators = self.visit(node.left), [self.visit(node.comparators[0])]
            return node
        for value in node.comparators[1:]:
            self.no_walrus(value)
        pairs: list[ast.expr] = []
        for name, value in zip(operators, node.comparators, strict=True):
            pairs += [_at(node, ast.Constant(name)), _at(node, _thunk(self.visit(value)))]
        return _at(node, hook("compare", self.visit(node.left), *pairs))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.Constant, ast.JoinedStr)):
            return _at(node, hook("percent", left, right))
        return _at(node, ast.BinOp(left, node.op, right))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = self.visit(part.format_spec) if part.format_spec else ast.Constant("")
                parts.append(ast.Tuple([self.visit(part.value), ast.Constant(part.conversion), spec], ast.Load()))
            else:
                parts.append(part)
        return _at(node, hook("joined", *parts))

    def fresh(self, node: ast.AST) -> Any:
        new = self.generic_visit(node)
        return _at(node, hook("fresh", new))  # type: ignore[arg-type]

    def visit_List(self, node: ast.List) -> Any:
        return self.fresh(node) if isinstance(node.ctx, ast.Load) else self.generic_visit(node)

    visit_Dict = visit_Set = visit_ListComp = visit_DictComp = visit_SetComp = fresh

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        iterated = _at(node.iter, hook("iterate", self.visit(node.iter)))
        return ast.comprehension(node.target, iterated, [self.visit(i) for i in node.ifs], node.is_async)


def _negated(flag: str) -> ast.expr:
    return ast.UnaryOp(ast.Not(), _load(flag))


def _strings(names: list[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(n) for n in names], ast.Load())


def _parameters(args: ast.arguments) -> list[str]:
    extra = [a.arg for a in (args.vararg, args.kwarg) if a]
    return [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)] + extra


def _docstring(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[:1], body[1:]
    return [], body
