"""Counts what makes code hard to enter, and fails where the house's limits are passed. Run: python .ci/house.py [folder]

The complexity of a function is 1, and 1 more for each if, for, while, except, conditional expression, comprehension and its ifs,
and each further operand of `and` and `or`. Nested functions and classes count by themselves.
"""

import ast
import pathlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

MOST, HIGH = 15, 10  # complexity: none is over MOST, and over HIGH are at most
MOST_HIGH = 30
LEAST_COMMENTS = 0.04  # own-line comments, as a share of all lines
MOST_LINES = 400  # of a file
MOST_FILES = 20  # of a folder, at one level
# One estimator a file, one problem a file, one command a file: their number is that of the methods and problems.
WIDE = {"spanax/bridges", "spanax/gallery", "spanax/cli/_gallery"}


class Function(NamedTuple):
    path: pathlib.Path
    name: str
    line: int
    complexity: int
    has_comment: bool

    def __str__(self):
        return f"{self.path}:{self.line} {self.name}"


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions and classes inside it."""
    open_nodes = list(ast.iter_child_nodes(function))
    while open_nodes:
        node = open_nodes.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
            open_nodes.extend(ast.iter_child_nodes(node))


def complexity(function: ast.AST) -> int:
    total = 1
    for node in own_nodes(function):
        if isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.IfExp):
            total += 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
    return total


def is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def functions(path: pathlib.Path, lines: list[str]) -> Iterator[Function]:
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_comment = any(map(is_comment, lines[node.lineno - 1 : node.end_lineno]))
            yield Function(path, node.name, node.lineno, complexity(node), has_comment)


def faults_of_functions(every: list[Function]) -> Iterator[str]:
    high = [f for f in every if f.complexity > HIGH]
    for f in sorted(high, key=lambda f: -f.complexity):
        if f.complexity > MOST:
            yield f"{f}: complexity {f.complexity}, and {MOST} is the most"
        elif not f.has_comment:
            yield f"{f}: complexity {f.complexity}, and no comment in it says why"
    if len(high) > MOST_HIGH:
        by_part = Counter(f.path.parts[1] for f in high).most_common()
        where = ", ".join(f"{part} {count}" for part, count in by_part)
        yield f"{len(high)} functions of complexity over {HIGH}, and {MOST_HIGH} is the most: {where}"


def main(root: pathlib.Path) -> int:
    files = {path: path.read_text().splitlines() for path in sorted(root.rglob("*.py"))}
    every = [function for path, lines in files.items() for function in functions(path, lines)]
    folders = Counter(path.parent for path in files)
    total = sum(map(len, files.values()))
    share = sum(is_comment(line) for lines in files.values() for line in lines) / total

    faults = list(faults_of_functions(every))
    faults += [
        f"{p}: {len(lines)} lines, and {MOST_LINES} is the most"
        for p, lines in files.items()
        if len(lines) > MOST_LINES
    ]
    faults += [
        f"{folder}: {count} files, and {MOST_FILES} is the most"
        for folder, count in folders.items()
        if count > MOST_FILES and folder.as_posix() not in WIDE
    ]
    if share < LEAST_COMMENTS:
        faults.append(f"{share:.1%} of the lines are comments, and {LEAST_COMMENTS:.0%} is the least")

    over = [sum(f.complexity > limit for f in every) for limit in (HIGH, MOST)]
    print(
        f"{len(files)} files, {total:,} lines, {share:.1%} comments; {len(every):,} functions, "
        f"{over[0]} of complexity over {HIGH}, {over[1]} over {MOST}; longest file {max(map(len, files.values()))} lines"
    )
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "spanax")))
