"""The data, the training and the picture of `spanax.gallery.tour`."""
