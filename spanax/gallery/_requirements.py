"""The gallery's optional packages, checked before hours of work rather than after."""

from importlib.util import find_spec

from .._errors import SpanaxError


def check_requirements() -> None:
    """Raises `SpanaxError` with the pip command if matplotlib or scikit-learn is not installed."""
    packages = {"matplotlib": "matplotlib", "sklearn": "scikit-learn"}
    if missing := [package for module, package in packages.items() if find_spec(module) is None]:
        raise SpanaxError(f"the gallery needs {' and '.join(missing)}", "", "pip install 'spanax[gallery]'")
