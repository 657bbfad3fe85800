"""Meta-learning anomaly detection in the shape of scikit-learn."""

from skmetaad.base import BaseMetaDetector
from skmetaad.detectors import MAMLAutoencoderDetector, MetaPrototypeDetector
from skmetaad.exceptions import LabelsIgnoredWarning, MetaTrainingError
from skmetaad.labels import from_pyod_labels, to_pyod_labels
from skmetaad.tasks import Task, TaskCollection

__version__ = "0.1.0"

