"""The closed loop of `spanax.gallery.mpc`."""
