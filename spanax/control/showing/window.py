"""A window that shows one picture after the other, by matplotlib, at the speed at which things happen."""

from __future__ import annotations

import importlib.util
import os
import sys
import time

from .canvas import Picture


def has_display() -> bool:
    """Is a window likely to open? Told without importing matplotlib, which takes a second."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    if "matplotlib.pyplot" in sys.modules or os.environ.get("MPLBACKEND"):
        return not why_no_window()
    return not sys.platform.startswith("linux") or any(os.environ.get(x) for x in ("DISPLAY", "WAYLAND_DISPLAY"))


def why_no_window() -> str:
    """What is missing for a window; "" if nothing is."""
    if importlib.util.find_spec("matplotlib") is None:
        return "a window needs matplotlib: pip install 'spanax[plots]'"
    import matplotlib
    from matplotlib.backends.registry import BackendFilter, backend_registry

    # Asked for, or found by matplotlib itself: without a display it falls back to one that only writes files.
    backend = matplotlib.get_backend().lower()
    windows = [name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE)]
    # One of another package is taken at its word.
    if backend in windows or backend.startswith("module://"):
        return ""
    return f"there is no display to open a window on (the backend of matplotlib is {backend!r} here)"


class Window:
    """Opened by the first picture."""

    def __init__(self, title: str, fps: float):
        self.title, self.fps, self.figure, self.image = title, fps, None, None
        self.shown = -float("inf")

    def show(self, picture: Picture) -> None:
        # Windows are pyplot's: it runs their event loop.
        from matplotlib import pyplot

        if self.figure is None or not pyplot.fignum_exists(self.figure.number):
            height, width = picture.shape[:2]
            self.figure = pyplot.figure(self.title, figsize=(width / 100, height / 100), dpi=100)
            ax = self.figure.add_axes((0, 0, 1, 1))
            ax.axis("off")
            self.image = ax.imshow(picture)
            self.figure.show()
        assert self.image is not None
        self.image.set_data(picture)
        self.figure.canvas.draw_idle()
        # What is left of the frame's time, in which the window also answers its user.
        left = self.shown + 1 / self.fps - time.monotonic()
        self.figure.canvas.start_event_loop(max(left, 1e-3))
        self.shown = time.monotonic()

    def close(self) -> None:
        from matplotlib import pyplot

        if self.figure is not None:
            pyplot.close(self.figure)
            self.figure = None
