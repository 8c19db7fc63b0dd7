"""What the tests of the gallery ask of its files."""

import matplotlib.image
import numpy as np
from PIL import Image, ImageSequence

LARGEST = 2_000_000  # bytes of a GIF


def check_picture(path):
    """A PNG of some size that is not blank."""
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert np.std(pixels) > 0.01


def check_motion(path, frames, seconds):
    """A GIF of so many frames (two alike are held as one) and seconds (None: any), in which things move."""
    assert path.stat().st_size < LARGEST
    with Image.open(path) as film:
        shown, durations = [], []
        for frame in ImageSequence.Iterator(film):
            shown.append(np.asarray(frame.convert("L"), float))
            durations.append(frame.info["duration"])
    assert 2 <= len(shown) <= frames
    assert seconds is None or abs(sum(durations) / 1000 - seconds) < 1e-6
    assert np.abs(shown[0] - shown[len(shown) // 2]).max() > 50
