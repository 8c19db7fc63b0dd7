"""The gallery's optional packages, checked before hours of work rather than after."""

from importlib.util import find_spec

from ..._errors import SpanaxError, installing

PACKAGES = {"matplotlib": "matplotlib", "sklearn": "scikit-learn", "sacrebleu": "sacrebleu"}


def check_requirements(*modules: str) -> None:
    """Raises `SpanaxError` with the pip command if matplotlib, or one of the other `modules`, is not installed."""
    # Looked up, not imported: importing matplotlib takes a second, which --help should not wait for.
    if missing := [PACKAGES[module] for module in ("matplotlib", *modules) if find_spec(module) is None]:
        raise SpanaxError(f"the gallery needs {' and '.join(missing)}", *installing("gallery"), where="")
