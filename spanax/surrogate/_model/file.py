"""A surrogate in a file: its records as JSON, in which arrays are numbers of arrays that follow. See `_sealed_file`."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..._errors import SpanaxError
from ..._sealed_file import UnfitError, dtypes_of, read_arrays, read_sealed, seal, write_arrays
from ..surrogate_report import SmoothedJump, SurrogateReport
from .data import Data, Scale
from .fitted import Evidence, Fitted
from .jumps import Jump
from .network import Ensemble, Hidden, Single
from .probing import Probes
from .source import Form
from .space import Space

_FORMAT = b"spanax.surrogate.1\n"
# Nothing else is made from a file, whatever it says.
_RECORDS = {
    cls.__name__: cls
    for cls in (
        Data,
        Ensemble,
        Evidence,
        Fitted,
        Form,
        Hidden,
        Jump,
        Probes,
        Scale,
        SmoothedJump,
        Space,
        SurrogateReport,
    )
}


def save(path: Path, fitted: Fitted, report: SurrogateReport, settings: dict[str, Any]) -> None:
    """Raises `SpanaxError` where it cannot be written."""
    arrays: list[np.ndarray] = []
    head = {"content": _pack([fitted, report, settings], arrays), "dtypes": dtypes_of(arrays)}
    try:
        seal(path, _FORMAT, head, write_arrays(arrays))
    except OSError as error:
        problem = f"the surrogate cannot be written to {os.fspath(path)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error


def load(path: Path, model: Any) -> tuple[Fitted, SurrogateReport, dict[str, Any]]:
    """Raises `SpanaxError` for what is not what `save` wrote."""
    try:
        head, rest = read_sealed(path, _FORMAT, "a file that SurrogateModel.save wrote")
        try:
            fitted, report, settings = _unpack(head["content"], read_arrays(rest, head["dtypes"]), model)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise UnfitError(f"its content does not fit together ({error})", "the Spanax that wrote it") from error
    except UnfitError as error:
        problem = f"no surrogate can be loaded from {os.fspath(path)!r}: {error.why}"
        raise SpanaxError(problem, *error.remedies) from None
    return fitted, report, settings


def _pack(x: Any, arrays: list[np.ndarray]) -> Any:
    """As JSON: lists are lists, all else that is not plain is a dict with one key that says what it is."""
    if isinstance(x, np.ndarray):
        arrays.append(x)
        return {"array": len(arrays) - 1}
    if isinstance(x, jax.tree_util.PyTreeDef):
        return {"tree": _skeleton(jax.tree.unflatten(x, range(x.num_leaves)))}
    if isinstance(x, Single):
        return {"module": _pack(_weights(x.module), arrays), "size": x.size}
    # By the class itself: a user's class may have the name of one of ours.
    if _RECORDS.get(type(x).__name__) is type(x):
        return {"record": type(x).__name__, "fields": {k: _pack(v, arrays) for k, v in _fields(x).items()}}
    return _pack_plain(x, arrays)


def _fields(x: Any) -> dict[str, Any]:
    return x._asdict() if isinstance(x, tuple) else {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}


def _pack_plain(x: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(x, tuple):
        return {"tuple": [_pack(item, arrays) for item in x]}
    if isinstance(x, dict):
        return {"dict": [[key, _pack(item, arrays)] for key, item in x.items()]}
    return [_pack(item, arrays) for item in x] if isinstance(x, list) else x


def _unpack(x: Any, arrays: list[np.ndarray], model: Any) -> Any:
    again = functools.partial(_unpack, arrays=arrays, model=model)
    if isinstance(x, list):
        return list(map(again, x))
    if not isinstance(x, dict):
        return x
    kind, content = next(iter(x.items()))
    # A kind that is not here is a KeyError: the file is not one of ours.
    makers = {
        "array": lambda: arrays[content],
        "module": lambda: Single(_with_weights(model, again(content)), x["size"]),
        "tree": lambda: jax.tree.structure(_from_skeleton(content)),
        "record": lambda: _RECORDS[content](**{name: again(item) for name, item in x["fields"].items()}),
        "tuple": lambda: tuple(map(again, content)),
        "dict": lambda: {key: again(item) for key, item in content},
    }
    return makers[kind]()


def _skeleton(tree: Any) -> Any:
    """Arrays in dictionaries, lists and tuples, as JSON; each leaf is a number."""
    kind = type(tree)
    if kind is dict and all(isinstance(key, str | int) for key in tree):
        return {"dict": [[key, _skeleton(item)] for key, item in tree.items()]}
    if kind in (tuple, list):
        items = list(map(_skeleton, tree))
        return items if kind is list else {"tuple": items}
    # Named tuples, modules and the like would need their class, which a file does not hold.
    if not (isinstance(tree, int) or tree is None):
        raise SpanaxError(
            f"a surrogate whose x or result holds a {kind.__name__} cannot be saved: a file without pickle does not know it",
            "dictionaries, lists and tuples",
        )
    return tree


def _from_skeleton(tree: Any) -> Any:
    if isinstance(tree, dict) and "dict" in tree:
        return {key: _from_skeleton(item) for key, item in tree["dict"]}
    if isinstance(tree, dict):
        return tuple(_from_skeleton(item) for item in tree["tuple"])
    return [_from_skeleton(item) for item in tree] if isinstance(tree, list) else tree


def _weights(module: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array))]


def _with_weights(model: Any, weights: list[np.ndarray]) -> Any:
    if model is None:
        raise UnfitError(
            "it is a surrogate of a module of your own", "load_surrogate(path, model=...), one of its structure"
        )
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    if [np.shape(leaf) for leaf in leaves] != [weight.shape for weight in weights]:
        raise UnfitError("the module has arrays of other shapes", "the module that `fit_surrogate` was given")
    # Whatever else there is in it, such as integers, comes from the module that is given, as arrays of NumPy.
    static = jax.tree.map(lambda x: np.asarray(x) if eqx.is_array(x) else x, static)
    return eqx.combine(jax.tree.unflatten(tree, weights), static)
