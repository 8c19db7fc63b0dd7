"""Expressions with hooks."""

from __future__ import annotations

import ast
from typing import Any

from ._session import LiftError
from ._syntax import HOOKS, at, hook, load, thunk

_NATIVE = frozenset("locals globals eval exec vars dir breakpoint".split())


class Expressions(ast.NodeTransformer):
    """Each name, call, truth value and element that is read goes through `_sx_`."""

    file: str
    owner: str | None  # the name of the class that the function was defined in, for private names
    first: str | None  # the function's first parameter

    def refuse(self, node: ast.AST, problem: str, *remedies: str) -> None:
        place = f"{self.file}:{getattr(node, 'lineno', 0)}"
        raise LiftError(
            problem, place, *(remedies or ("an argument and a result instead", "an attribute of an object"))
        )

    def visit_Lambda(self, node: ast.Lambda) -> Any:
        node.args.defaults = [self.visit(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.visit(d) for d in node.args.kw_defaults]
        node.body = self.visit(node.body)
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
        function = node.func
        if isinstance(function, ast.Name):
            if function.id == "super" and not node.args and self.first:
                return at(node, ast.Call(load("super"), [load("__class__"), load(self.first)], []))
            if function.id in _NATIVE:
                self.refuse(node, f"{function.id}() is not lifted", "plain names and calls")
        args = [self.visit(a) for a in node.args]
        keywords = [ast.keyword(k.arg, self.visit(k.value)) for k in node.keywords]
        return at(node, hook("call", self.visit(function), *args, keywords=keywords))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        name = "and_" if isinstance(node.op, ast.And) else "or_"
        first, *rest = (self.visit(v) for v in node.values)
        for value in node.values[1:]:
            self.no_walrus(value)
        return at(node, hook(name, first, *map(thunk, rest)))

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

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        self.no_walrus(node.body)
        self.no_walrus(node.orelse)
        parts = thunk(self.visit(node.body)), thunk(self.visit(node.orelse))
        return at(node, hook("choose", self.test(node.test), *parts))

    def visit_Compare(self, node: ast.Compare) -> Any:
        operators = [type(o).__name__ for o in node.ops]
        if (
            operators in (["Is"], ["IsNot"])
            and isinstance(node.comparators[0], ast.Constant)
            and node.comparators[0].value is None
        ):
            test = hook("is_none", self.unread(node.left))
            return at(node, test if operators == ["Is"] else hook("not_", test))
        if len(operators) == 1 and operators[0] not in ("In", "NotIn"):
            left, right = self.visit(node.left), self.visit(node.comparators[0])
            if operators[0] in ("Is", "IsNot"):
                return at(node, ast.Compare(left, node.ops, [right]))
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
        new = self.generic_visit(node)
        return at(node, hook("fresh", new))  # type: ignore[arg-type]

    def visit_List(self, node: ast.List) -> Any:
        return self.fresh(node) if isinstance(node.ctx, ast.Load) else self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> Any:
        return self.fresh(node)

    def visit_Set(self, node: ast.Set) -> Any:
        return self.fresh(node)

    def visit_ListComp(self, node: ast.ListComp) -> Any:
        return self.fresh(node)

    def visit_DictComp(self, node: ast.DictComp) -> Any:
        return self.fresh(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Any:
        return self.fresh(node)

    def visit_SetComp(self, node: ast.SetComp) -> Any:
        return self.fresh(node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        iterated = at(node.iter, hook("iterate", self.visit(node.iter)))
        return ast.comprehension(node.target, iterated, [self.visit(i) for i in node.ifs], node.is_async)

    def unread(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            return at(node, hook("attribute_unread", self.visit(node.value), ast.Constant(self.mangled(node.attr))))
        if isinstance(node, ast.Subscript):
            return at(node, hook("item_unread", self.visit(node.value), self.index(node.slice)))
        return self.visit(node)


def _is_negated(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
