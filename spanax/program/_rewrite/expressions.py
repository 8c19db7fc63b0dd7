"""Expressions with hooks.

Each operation becomes a call of `_sx_`, which decides when the program is traced whether its operands are known. A value may be
missing on some branches (None or not assigned, as the arguments decide): such a value may be handed on, and whatever
computes with it asks whether it is there. So there are two readings of a name, `ld`, which asks, and the name itself
(`unread`, `hand_on`).
"""

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
# They look at the frame or at text that is not lifted, where names and values are not the program's.
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
        node.args.defaults = [self.hand_on(d) for d in node.args.defaults]
        node.args.kw_defaults = [d and self.hand_on(d) for d in node.args.kw_defaults]
        node.body = at(node.body, hook("hand_back", self.hand_on(node.body)))
        return node

    def mangle(self, name: str) -> str:
        """A private name `__x` as Python's compiler has it inside a class: the hooks get it as text, which is not mangled."""
        private = self.owner and name.startswith("__") and not name.endswith("__")
        return f"_{self.owner.lstrip('_')}{name}" if private and self.owner else name

    def visit_Name(self, node: ast.Name) -> Any:
        if not isinstance(node.ctx, ast.Load) or node.id.startswith(HOOKS):
            return node
        return at(node, hook("ld", node))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return node
        return at(node, hook("attribute", self.visit(node.value), ast.Constant(self.mangle(node.attr))))

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
            # `super()` without arguments reads the frame that calls it, which is a hook's now: so it gets what it would find.
            if function.id == "super" and not node.args and self.first:
                return at(node, ast.Call(load("super"), [load("__class__"), load(self.first)], []))
            if function.id in _NATIVE:
                self.refuse(node, f"{function.id}() is not lifted", "plain names and calls")
        # Arguments are handed on unread: the program's own functions may be given what is missing on some branches.
        args = [self.hand_on(a) for a in node.args]
        keywords = [ast.keyword(k.arg, self.hand_on(k.value) if k.arg else self.visit(k.value)) for k in node.keywords]
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
        """An assignment inside a thunk would be that of the thunk's own variable, and be lost."""
        for n in ast.walk(node):
            if isinstance(n, ast.NamedExpr):
                self.refuse(n, ":= in a part of an expression that may not be evaluated", "an assignment before it")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.operand, ast.Constant) and not isinstance(node.op, ast.Not):
            return node  # -1 is a number, not an operation
        if isinstance(node.op, ast.Not):
            return at(node, hook("not_", self.test(node.operand)))
        return at(node, hook("unary", ast.Constant(type(node.op).__name__), self.visit(node.operand)))

    def visit_Compare(self, node: ast.Compare) -> Any:
        if len(node.ops) > 1:
            return self.chain(node)
        name, left, right = type(node.ops[0]).__name__, node.left, node.comparators[0]
        if name in _WITH_NONE and (other := _compared_with_none(left, right)) is not None:
            test, is_negated = _WITH_NONE[name]
            # Whether a value is None may depend on the arguments, and is then an answer, where reading it would be an error.
            asked = at(node, hook(test, self.unread(other)))
            return at(node, hook("not_", asked)) if is_negated else asked
        if name in ("In", "NotIn"):
            return self.chain(node)
        if name in ("Is", "IsNot"):
            asked = at(node, hook("same", self.visit(left), self.visit(right)))
            return asked if name == "Is" else at(node, hook("not_", asked))
        return at(node, hook("compare_pair", ast.Constant(name), self.visit(left), self.visit(right)))

    def chain(self, node: ast.Compare) -> Any:
        """`a < b < c`: each operand is evaluated once, and only as long as the comparisons before it hold."""
        for value in node.comparators[1:]:
            self.no_walrus(value)
        pairs: list[ast.expr] = []
        for op, value in zip(node.ops, node.comparators, strict=True):
            pairs += [at(node, ast.Constant(type(op).__name__)), at(node, thunk(self.visit(value)))]
        return at(node, hook("compare", self.visit(node.left), *pairs))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.Constant, ast.JoinedStr)):
            return at(node, hook("percent", left, right))
        if isinstance(node.op, ast.Pow) and _is_whole_constant(node.left) and _is_negated(node.right):
            # 2 ** -k is a float in Python if k > 0, and an int else. JAX must know the type before it knows k: the float is
            # meant.
            left = ast.Constant(float(node.left.value))  # type: ignore[attr-defined]
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            # Python's compiler folds it: a hook would make it a traced operation of the program's.
            return at(node, ast.BinOp(left, node.op, right))
        return at(node, hook("binary", ast.Constant(type(node.op).__name__), left, right))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Any:
        parts: list[ast.expr] = []
        for part in node.values:
            # The value, how it is converted and its format: the text is made when the program runs, if the value is known then.
            if isinstance(part, ast.FormattedValue):
                spec = self.visit(part.format_spec) if part.format_spec else ast.Constant("")
                parts.append(ast.Tuple([self.visit(part.value), ast.Constant(part.conversion), spec], ast.Load()))
            else:
                parts.append(part)
        return at(node, hook("format_fstring", *parts))

    def fresh(self, node: ast.AST) -> Any:
        return at(node, hook("fresh", self.generic_visit(node)))  # type: ignore[arg-type]

    def visit_List(self, node: ast.List) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return at(node, hook("fresh", at(node, ast.List([self.hand_on(e) for e in node.elts], node.ctx))))

    def visit_Tuple(self, node: ast.Tuple) -> Any:
        if not isinstance(node.ctx, ast.Load):
            return self.generic_visit(node)
        return at(node, ast.Tuple([self.hand_on(e) for e in node.elts], node.ctx))

    def visit_Dict(self, node: ast.Dict) -> Any:
        keys = [k and self.visit(k) for k in node.keys]
        values = [self.hand_on(v) if k else self.visit(v) for k, v in zip(node.keys, node.values, strict=True)]
        return at(node, hook("fresh", at(node, ast.Dict(keys, values))))

    def visit_Set(self, node: ast.Set) -> Any:
        return self.fresh(node)

    def visit_ListComp(self, node: ast.ListComp) -> Any:
        comprehension = ast.ListComp(self.hand_on(node.elt), [self.visit(g) for g in node.generators])
        return at(node, hook("fresh", at(node, comprehension)))

    def visit_DictComp(self, node: ast.DictComp) -> Any:
        generators = [self.visit(g) for g in node.generators]
        comprehension = ast.DictComp(self.visit(node.key), self.hand_on(node.value), generators)
        return at(node, hook("fresh", at(node, comprehension)))

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> Any:
        return self.fresh(node)

    def visit_SetComp(self, node: ast.SetComp) -> Any:
        return self.fresh(node)

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        # Comprehensions stay Python's: their items must be known in number, and are written out.
        unpacks = ast.Constant(not isinstance(node.target, ast.Name))
        iterated = at(node.iter, hook("iterate", self.visit(node.iter), unpacks))
        return ast.comprehension(node.target, iterated, [self.visit(i) for i in node.ifs], node.is_async)

    # -- what may be missing on some branches: all else is asked for as it is read

    def hand_on(self, node: ast.expr) -> ast.expr:
        """What is only handed on, to a name, a container or a function."""
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
            is_own = isinstance(node, ast.Name) and node.id.startswith(HOOKS)
            return node if is_own else at(node, hook("pass_on", self.unread(node)))
        return self.unread(node)

    def unread(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name):
            return node
        if isinstance(node, ast.Attribute):
            return at(node, hook("attribute_unread", self.visit(node.value), ast.Constant(self.mangle(node.attr))))
        if isinstance(node, ast.Subscript):
            return at(node, hook("item_unread", self.unread(node.value), self.index(node.slice)))
        if isinstance(node, ast.Call):
            return self.call(node, "call_unread")
        if isinstance(node, ast.NamedExpr):
            return at(node, ast.NamedExpr(node.target, self.hand_on(node.value)))
        if isinstance(node, ast.BoolOp):
            return self.one_of(node)
        if isinstance(node, ast.IfExp):
            self.no_walrus(node.body)
            self.no_walrus(node.orelse)
            parts = thunk(self.hand_on(node.body)), thunk(self.hand_on(node.orelse))
            return at(node, hook("choose", self.test(node.test), *parts))
        return self.visit(node)

    def one_of(self, node: ast.BoolOp) -> ast.expr:
        """`first or ...`, `first and ...`."""
        # `and` and `or` return an operand, not its truth: which one it is may depend on the arguments.
        first, *rest = map(self.hand_on, node.values)
        for value in node.values[1:]:
            self.no_walrus(value)
        return at(node, hook("and_" if isinstance(node.op, ast.And) else "or_", first, *map(thunk, rest)))


def _compared_with_none(left: ast.expr, right: ast.expr) -> ast.expr | None:
    """The other side, where one is the constant None."""
    sides = (left, right), (right, left)
    return next((y for x, y in sides if isinstance(x, ast.Constant) and x.value is None), None)


def _is_whole_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _is_negated(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
