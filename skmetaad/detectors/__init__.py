"""The detectors, one per file."""

from skmetaad.detectors._autoencoder import MAMLAutoencoderDetector
from skmetaad.detectors._classifier import MAMLClassifierDetector
from skmetaad.detectors._clustering import DeepClusteringDetector
from skmetaad.detectors._gan import MetaGANDetector
from skmetaad.detectors._graph import GraphNetworkDetector
from skmetaad.detectors._matching import MatchingNetworkDetector
from skmetaad.detectors._prototype import MetaPrototypeDetector
from skmetaad.detectors._relation import RelationNetworkDetector
from skmetaad.detectors._siamese import SiameseDetector
from skmetaad.detectors._svdd import MetaSVDDDetector
from skmetaad.detectors._universal import UniversalDetector

__all__ = [
    "DeepClusteringDetector",
    "GraphNetworkDetector",
    "MAMLAutoencoderDetector",
    "MAMLClassifierDetector",
    "MatchingNetworkDetector",
    "MetaGANDetector",
    "MetaPrototypeDetector",
    "MetaSVDDDetector",
    "RelationNetworkDetector",
    "SiameseDetector",
    "UniversalDetector",
]
