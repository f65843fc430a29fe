"""Search neural architectures in the latent space of a variational graph autoencoder."""

__version__ = "0.1.0"
