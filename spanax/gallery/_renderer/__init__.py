"""The rasteriser, its derivative by its edges, the picture to be fitted, and the pictures of the fit."""
