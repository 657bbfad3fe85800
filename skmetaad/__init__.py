"""Meta-learning anomaly detection in the shape of scikit-learn."""

from skmetaad.base import BaseMetaDetector
from skmetaad.compose import FewShotDetector, PyODDetector, adapt, to_pyod
from skmetaad.detectors import (
    DeepClusteringDetector,
    GraphNetworkDetector,
    MAMLAutoencoderDetector,
    MAMLClassifierDetector,
    MatchingNetworkDetector,
    MetaGANDetector,
    MetaPrototypeDetector,
    MetaSVDDDetector,
    RelationNetworkDetector,
    SiameseDetector,
    UniversalDetector,
)
from skmetaad.exceptions import LabelsIgnoredWarning, MetaTrainingError
from skmetaad.labels import from_pyod_labels, to_pyod_labels
from skmetaad.metrics import FewShotScorer, few_shot_scores
from skmetaad.model_selection import (
    LeaveOneTaskOut,
    TaskKFold,
    TaskShuffleSplit,
    support_query_split,
)
from skmetaad.preprocessing import CenterPictures, PerTaskTransformer
from skmetaad.tasks import Task, TaskCollection

__version__ = "0.1.0"

__all__ = [
    "BaseMetaDetector",
    "CenterPictures",
    "DeepClusteringDetector",
    "FewShotDetector",
    "FewShotScorer",
    "GraphNetworkDetector",
    "LabelsIgnoredWarning",
    "LeaveOneTaskOut",
    "MAMLAutoencoderDetector",
    "MAMLClassifierDetector",
    "MatchingNetworkDetector",
    "MetaGANDetector",
    "MetaPrototypeDetector",
    "MetaSVDDDetector",
    "MetaTrainingError",
    "PerTaskTransformer",
    "PyODDetector",
    "RelationNetworkDetector",
    "SiameseDetector",
    "Task",
    "TaskCollection",
    "TaskKFold",
    "TaskShuffleSplit",
    "UniversalDetector",
    "adapt",
    "few_shot_scores",
    "from_pyod_labels",
    "support_query_split",
    "to_pyod",
    "to_pyod_labels",
]
