"""Groups of leaves that are judged by themselves, so that the large gradient of some hides no bias in that of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from ..._errors import SpanaxError
from .arguments import Arguments

Groups = Mapping[str, tuple[int, ...]]  # name -> the positions of its leaves in `Arguments.leaves`


def groups_of(arguments: Arguments, groups: Any, where: str) -> Groups:
    """Of leaves that hold a number: by a pytree prefix of names, or (None) by the top-level keys of the arguments."""
    # Top-level keys are how people name the parts of a model, and they are few: each costs some of the level.
    names = arguments.tops if groups is None else _by_prefix(arguments, groups, where)
    found: dict[str, list[int]] = {}
    for i, (name, leaf) in enumerate(zip(names, arguments.leaves, strict=True)):
        # A leaf without numbers cannot be biased.
        if leaf.size:
            found.setdefault(name, []).append(i)
    return {name: tuple(leaves) for name, leaves in found.items()}


def _by_prefix(arguments: Arguments, groups: Any, where: str) -> list[str]:
    of_leaves = arguments.place_leaves(range(len(arguments.leaves)))
    try:
        # A prefix names whole branches at once, as in_axes of vmap does.
        names = jax.tree.leaves(jax.tree.broadcast(groups, of_leaves))
    except (ValueError, TypeError) as error:
        raise _bad(f"it is not a pytree prefix of the differentiated arguments: {_first(error)}", where) from error
    if other := [name for name in names if not isinstance(name, str)]:
        raise _bad(f"a name is a string, and {other[0]!r} is not", where)
    # Leaves of the tree come in its order, and those of the arguments in the order of their positions.
    order = jax.tree.leaves(of_leaves)
    return [name for _, name in sorted(zip(order, names, strict=True))]


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _bad(problem: str, where: str) -> SpanaxError:
    return SpanaxError(
        f"groups=: {problem}",
        'groups={"encoder": "encoder", "decoder": "decoder"}, where the differentiated argument is a dict with these keys',
        "groups=(prefix, prefix), where argnums is a tuple of two",
        "groups=jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path[:2]), argument)",
        "groups=None: one group for each top-level key",
        where=where,
    )
