"""result.json: the settings and figures of a run, and what they were measured with."""

import json
import math
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

PACKAGES = ("spanax", "jax", "jaxlib", "numpyro", "equinox", "optax")


def write_report(
    out: Path, problem: str, settings: Any, interrupted: bool, *, packages: tuple[str, ...] = PACKAGES, **figures: Any
) -> Path:
    """Writes result.json into `out`; a figure that is not finite is null there."""
    path = out / "result.json"
    content = {
        "problem": problem,
        "interrupted": interrupted,
        "settings": settings,
        # Figures depend on all of these: without them a report cannot be compared with a later one.
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        **figures,
    }
    unfinished = path.with_suffix(".tmp")  # a second Ctrl-C leaves no half of a report
    unfinished.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree
        return "not installed"


def _finite(content: Any) -> Any:
    match content:
        case dict():
            return {name: _finite(value) for name, value in content.items()}
        case list() | tuple():
            return [_finite(value) for value in content]
        case float() if not math.isfinite(content):
            return None
    return content
