"""The parts of the variational autoencoder problem."""
