"""Makes `import torchvision` work beside a torch that its compiled operators were not built for.

The torchvision of the package index is a CUDA build: beside a CPU torch its extension does not load, and its Python part then
stops at shape rules for two operators that nobody has declared. The models here do not call them.
"""

from __future__ import annotations

import importlib.util

import torch  # pyright: ignore[reportMissingImports]

_BOXES = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept = []  # a declaration lives as long as its Library


def declare() -> None:
    """To be called before the first `import torchvision`; twice does no harm."""
    if _kept or importlib.util.find_spec("torchvision") is None or _loads():
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + _BOXES)
    _kept.append(library)


def _loads() -> bool:
    """Whether torchvision imports as it is: then its operators are there, and are not to be declared a second time."""
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportMissingImports]
    except (RuntimeError, OSError):
        return False
    return True
