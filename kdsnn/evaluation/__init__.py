"""Running a network on targets, and comparing each spike and each count with the reference's."""

from kdsnn.evaluation.comparison import check_same
from kdsnn.evaluation.in_time import Curve, InTime
from kdsnn.evaluation.on_targets import evaluate, evaluate_each
from kdsnn.evaluation.result import Evaluation

__all__ = ["Curve", "Evaluation", "InTime", "check_same", "evaluate", "evaluate_each"]
