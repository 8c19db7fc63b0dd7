"""Pictures as a film: a GIF, or by ffmpeg an MP4."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..._errors import SpanaxError, installing
from .canvas import Picture

COLOURS = 64


def write_gif(path: Path, pictures: Iterable[Picture], seconds: float) -> None:
    """Writes all pictures, and shows each for `seconds`; for ever.

    GIFs count in hundredths of a second, and many viewers slow down frames of less than two.
    """
    try:
        # matplotlib depends on it.
        from PIL import Image
    except ImportError as error:
        raise SpanaxError("a GIF needs Pillow", *installing("plots")) from error
    frames = [Image.fromarray(picture) for picture in pictures]
    # One palette for the whole film, from frames across it: colours that change from frame to frame flicker.
    count = len(frames)
    some = np.concatenate([np.asarray(frames[number]) for number in sorted({0, count // 3, count // 2, count - 1})])
    palette = Image.fromarray(some).quantize(COLOURS)
    # No dithering: its noise moves, and compresses badly.
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0, optimize=True)


def write_mp4(path: Path, pictures: Iterable[Picture], seconds: float) -> None:
    """As H.264, which every browser and player shows."""
    program = ffmpeg()
    first, *rest = pictures
    # Its colours are stored for squares of four pixels: width and height must be even.
    height, width = (2 * (size // 2) for size in first.shape[:2])
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{1 / seconds:g}", "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    # From the root: "-x.mp4" by itself would be an option, and "run:1.mp4" a protocol.
    command += [str(path.absolute())]
    film = b"".join(np.ascontiguousarray(picture[:height, :width]).tobytes() for picture in (first, *rest))
    done = subprocess.run(command, input=film, capture_output=True)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise SpanaxError(f"ffmpeg could not write {str(path)!r}: {words[-1]}", "a GIF: the same path with .gif")


def ffmpeg() -> str:
    """The program's path."""
    if program := shutil.which("ffmpeg"):
        return program
    try:
        # A wheel on PyPI that brings the program with it.
        import imageio_ffmpeg  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise SpanaxError(
            "an MP4 needs the program ffmpeg, which is not installed",
            "pip install imageio-ffmpeg",
            "apt install ffmpeg, or brew install ffmpeg",
            "a GIF: the same path with .gif",
        ) from None
    return imageio_ffmpeg.get_ffmpeg_exe()
