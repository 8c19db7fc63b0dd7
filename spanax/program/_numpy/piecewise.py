"""`np.piecewise`: each function gets the numbers for which its condition holds, as a selection `x[condition]`.

So a function does not see numbers outside its piece, and a square root or a logarithm in one piece cannot make the gradient of
another one NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import session, unliftable
from .._values.values import Value
from .creation import asarray


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kwargs: Any) -> Any:
    """`np.piecewise`."""
    rules = session().rules
    x = rules.function(np.array, (x,), {})
    conditions = _conditions(x, condlist)
    # One function more than conditions: it gets all other numbers.
    if len(funclist) == len(conditions) + 1:
        some = conditions[0]
        for condition in conditions[1:]:
            some = some | condition
        conditions = [*conditions, ~some]
    if len(funclist) != len(conditions):
        raise unliftable(
            f"np.piecewise with {len(conditions)} conditions and {len(funclist)} functions", "one function for each"
        )
    # 0 where no condition holds; where several do, the last one wins, as in NumPy.
    result = rules.function(np.zeros_like, (x,), {})
    for condition, function in zip(conditions, funclist, strict=True):
        value: Any = function
        if isinstance(function, Callable):
            value = rules.call(function, rules.item(x, condition), *args, **kwargs)
        rules.store(result, condition, value)
    return result


def _conditions(x: Any, condlist: Any) -> list:
    """A list of arrays of booleans, each of the shape of x."""
    if isinstance(condlist, Value) and condlist.ndim == x.ndim:
        return [asarray(condlist)]
    conditions: Any = condlist
    return [asarray(condition) for condition in conditions]
