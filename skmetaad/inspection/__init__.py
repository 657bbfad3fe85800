"""Displays: what detectors do, as pictures. Needs matplotlib."""

from skmetaad.inspection._adaptation_curve import AdaptationCurveDisplay
from skmetaad.inspection._critical_difference import CriticalDifferenceDisplay
from skmetaad.inspection._embedding import EmbeddingDisplay
from skmetaad.inspection._score_histogram import ScoreHistogramDisplay
from skmetaad.inspection._task_score import TaskScoreDisplay
from skmetaad.inspection._timeline import TimelineDisplay

__all__ = [
    "AdaptationCurveDisplay",
    "CriticalDifferenceDisplay",
    "EmbeddingDisplay",
    "ScoreHistogramDisplay",
    "TaskScoreDisplay",
    "TimelineDisplay",
]
