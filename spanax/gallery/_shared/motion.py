"""Motion as a GIF: a matplotlib figure that is changed and drawn frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = 32


def write_gif(path: Path, figure: Figure, change: Callable[[int], None], frames: int, seconds: float) -> None:
    """Writes `frames` pictures of `figure`, each after `change(number)`, and shows each for `seconds`; for ever.

    GIFs count in hundredths of a second, and many viewers slow down frames of less than two.
    """
    from PIL import Image

    pictures = [_render(figure, change, number) for number in range(frames)]
    # One palette for the whole film, from frames across it: colours that change from frame to frame flicker.
    some = np.concatenate([np.asarray(pictures[number]) for number in {0, frames // 3, frames // 2, frames - 1}])
    palette = Image.fromarray(some).quantize(COLOURS)
    # No dithering: its noise moves, and compresses badly.
    first, *rest = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, optimize=True)


def _render(figure: Figure, change: Callable[[int], None], number: int):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    change(number)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
