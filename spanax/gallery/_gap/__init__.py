"""The picture of `spanax.gallery.gap`."""
