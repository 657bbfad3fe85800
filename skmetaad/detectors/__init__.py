"""Meta-learning detectors, one file each."""

from skmetaad.detectors._autoencoder import MAMLAutoencoderDetector
from skmetaad.detectors._prototype import MetaPrototypeDetector

__all__ = ["MAMLAutoencoderDetector", "MetaPrototypeDetector"]
