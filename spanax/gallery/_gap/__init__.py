"""The records and the picture of `spanax.gallery.gap`."""
