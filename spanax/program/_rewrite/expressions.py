"""Expressions with hooks."""

from __future__ import annotations

import ast
from typing import Any

from .._session import LiftError
from .syntax import HOOKS, at, hook, is_hook, load, thunk

_WITH_NONE = {
    "Is": ("is_none", False),
    "IsNot": ("is_none", True),
    "Eq": ("equals_none", False),
    "NotEq": ("differs_from_none", False),
}  # the hook, and whether it is negated
_NATIVE = frozenset("locals globals eval exec vars dir breakpoint".split())


class Expressions(ast.NodeTransformer):
    """Each name, call, truth value and element that is read goes through `_sx_`."""

    file: str
    owner: str | None  # the name of the class that the function was defined in, for private names
    first: str | None  # the function's first parameter

    def refuse(self, node: ast.AST, problem: str, *remedies: str) -> None:
        place = f"{self.file}:{getattr(node, 'lineno', 0)}"
        raise LiftError(
            problem, *(remedies or ("an argument and a result instead", "an attribute of an object")), where=place
        )

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        node.args.defaults = [self.passed(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.passed(d) for d in node.args.kw_defaults]
        node.body = at(node.body, hook("handed", self.passed(node.body)))
        return node

    def mangled(self, name: str) -> str:
        private = self.owner and name.startswith("__") and not name.endswith("__")
        return f"_{self.owner.lstrip('_')}{name}" if private and self.owner else name

    def visit_Name(self, node: ast.Name) -> Any:
        if not isinstance(node.ctx, ast.Load) or node.id.startswith(HOOKS):
            return node
        return at(node, hook("ld", node))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return node
        return at(node, hook("attribute", self.visit(node.value), ast.Constant(self.mangled(node.attr))))

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        return at(node, hook("item", self.unread(node.value), self.index(node.slice)))

    def index(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Slice):
            bounds = [self.visit(b) if b else at(node, ast.Constant(None)) for b in (node.lower, node.upper, node.step)]
            return at(node, hook("slice", *bounds))
        if isinstance(node, ast.Tuple):
            return at(node, ast.Tuple([self.index(e) for e in node.elts], ast.Load()))
        return self.visit(node)

    def visit_Call(self, node: ast.Call) -> Any:
        return self.call(node, "call")

    def call(self, node: ast.Call, by: str) -> Any:
        function = node.func
        if is_hook(function):
            return node
        if isinstance(function, ast.Name):
            if function.id == "super" and not node.args and self.first:
                return at(node, ast.Call(load("super"), [load("__class__"), load(self.first)], []))
            if function.id in _NATIVE:
                self.refuse(node, f"{function.id}() is not lifted", "plain names and calls")
        args = [self.passed(a) for a in node.args]
        keywords = [ast.keyword(k.arg, self.passed(k.value) if k.arg else self.visit(k.value)) for k in node.keywords]
        return at(node, hook(by, self.visit(function), *args, keywords=keywords))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        return at(node, hook("settle", self.unread(node)))

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        return at(node, hook("settle", self.unread(node)))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> Any:
        return at(node, hook("settle", self.unread(node)))

    def test(self, node: ast.expr) -> Any:
        """A condition, of which only the truth counts."""
        if not isinstance(node, ast.BoolOp):
            return self.unread(node)
        first, *rest = map(self.test, node.values)
        for value in node.values[1:]:
            self.no_walrus(value)
        return at(node, hook("all_of" if isinstance(node.op, ast.And) else "any_of", first, *map(thunk, rest)))

    def no_walrus(self, node: ast.expr) -> None:
        for n in ast.walk(node):
            if isinstance(n, ast.NamedExpr):
                self.refuse(n, ":= in a part of an expression that may not be evaluated", "an assignment before it")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.operand, ast.Constant) and not isinstance(node.op, ast.Not):
            return node
        if isinstance(node.op, ast.Not):
            return at(node, hook("not_", self.test(node.operand)))
        return at(node, hook("unary", ast.Constant(type(node.op).__name__), self.visit(node.operand)))

    def visit_Compare(self, node: ast.Compare) -> Any:
        operators = [type(o).__name__ for o in node.ops]
        if operators[0] in _WITH_NONE and len(operators) == 1:
            sides = [node.left, node.comparators[0]]
            other = next((y for x, y in (sides, sides[::-1]) if isinstance(x, ast.Constant) and x.value is None), None)
            if other is not None:
                test, negated = _WITH_NONE[operators[0]]
                asked = at(node, hook(test, self.unread(other)))
                return at(node, hook("not_", asked)) if negated else asked
        if len(operators) == 1 and operators[0] not in ("In", "NotIn"):
            left, right = self.visit(node.left), self.visit(node.comparators[0])
            if operators[0] in ("Is", "IsNot"):
                asked = at(node, hook("same", left, right))
                return asked if operators[0] == "Is" else at(node, hook("not_", asked))
            return at(node, hook("compared", ast.Constant(operators[0]), left, right))
        for value in node.comparators[1:]:
            self.no_walrus(value)
        pairs: list[ast.expr] = []
        for name, value in zip(operators, node.comparators, strict=True):
            pairs += [at(node, ast.Constant(name)), at(node, thunk(self.visit(value)))]
        return at(node, hook("compare", self.visit(node.left), *pairs))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.Constant, ast.JoinedStr)):
            return at(node, hook("percent", left, right))
        if (
            isinstance(node.op, ast.Pow)
            and isinstance(node.left, ast.Constant)
            and type(node.left.value) is int
            and _is_negated(node.right)
        ):
            left = ast.Constant(float(node.left.value))  # 2 ** -k is a float, as a rule
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            return at(node, ast.BinOp(left, node.op, right))
        return at(node, hook("binary", ast.Constant(type(node.op).__name__), left, right))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        parts: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = self.visit(part.format_spec) if part.format_spec else ast.Constant("")
                parts.append(ast.Tuple([self.visit(part.value), ast.Constant(part.conversion), spec], ast.Load()))
            else:
                parts.append(part)
        return at(node, hook("joined", *parts))

    def fresh(self, node: ast.AST) -> Any:
        return at(node, hook("fresh", self.generic_visit(node)))  # type: ignore[arg-type]

    def visit_List(self, node: ast.List) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return at(node, hook("fresh", at(node, ast.List([self.passed(e) for e in node.elts], node.ctx))))

    def visit_Tuple(self, node: ast.Tuple) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return at(node, ast.Tuple([self.passed(e) for e in node.elts], node.ctx))

    def visit_Dict(self, node: ast.Dict) -> Any:
        keys = [k and self.visit(k) for k in node.keys]
        values = [self.passed(v) if k else self.visit(v) for k, v in zip(node.keys, node.values, strict=True)]
        return at(node, hook("fresh", at(node, ast.Dict(keys, values))))

    def visit_Set(self, node: ast.Set) -> Any:
        return self.fresh(node)

    def visit_ListComp(self, node: ast.ListComp) -> Any:
        made = ast.ListComp(self.passed(node.elt), [self.visit(g) for g in node.generators])
        return at(node, hook("fresh", at(node, made)))

    def visit_DictComp(self, node: ast.DictComp) -> Any:
        generators = [self.visit(g) for g in node.generators]
        made = ast.DictComp(self.visit(node.key), self.passed(node.value), generators)
        return at(node, hook("fresh", at(node, made)))

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Any:
        return self.fresh(node)

    def visit_SetComp(self, node: ast.SetComp) -> Any:
        return self.fresh(node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        unpacks = ast.Constant(not isinstance(node.target, ast.Name))
        iterated = at(node.iter, hook("iterate", self.visit(node.iter), unpacks))
        return ast.comprehension(node.target, iterated, [self.visit(i) for i in node.ifs], node.is_async)

    # -- what need not be there on all ways: all else is settled as it is read

    def passed(self, node: ast.expr) -> ast.expr:
        """What is only handed on, to a name, a container or a function."""
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            is_own = isinstance(node, ast.Name) and node.id.startswith(HOOKS)
            return node if is_own else at(node, hook("passed", self.unread(node)))
        return self.unread(node)

    def unread(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            return at(node, hook("attribute_unread", self.visit(node.value), ast.Constant(self.mangled(node.attr))))
        if isinstance(node, ast.Subscript):
            return at(node, hook("item_unread", self.unread(node.value), self.index(node.slice)))
        if isinstance(node, ast.Call):
            return self.call(node, "called")
        if isinstance(node, ast.NamedExpr):
            return at(node, ast.NamedExpr(node.target, self.passed(node.value)))
        if isinstance(node, ast.BoolOp):
            return self.one_of(node)
        if isinstance(node, ast.IfExp):
            self.no_walrus(node.body)
            self.no_walrus(node.orelse)
            parts = thunk(self.passed(node.body)), thunk(self.passed(node.orelse))
            return at(node, hook("choose", self.test(node.test), *parts))
        return self.visit(node)

    def one_of(self, node: ast.BoolOp) -> ast.expr:
        """`first or ...`, `first and ...`."""
        first, *rest = map(self.passed, node.values)
        for value in node.values[1:]:
            self.no_walrus(value)
        return at(node, hook("and_" if isinstance(node.op, ast.And) else "or_", first, *map(thunk, rest)))


def _is_negated(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
