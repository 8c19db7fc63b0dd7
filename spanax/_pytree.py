"""`PyTree` for annotations: jaxtyping's while the program runs, anything at all to a type checker.

Jaxtyping's own is unknown to a type checker, and in strict mode every call of a function that takes or returns one would then
be an error in the user's program.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _Leaf = TypeVar("_Leaf", default=Any)
    PyTree: TypeAlias = Any | _Leaf
else:
    from jaxtyping import PyTree as PyTree
