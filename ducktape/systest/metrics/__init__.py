"""Metrics: from a round's history and costs to its figures, and from the rounds of a run to who did better. Pure."""

from systest.metrics.comparison import METRICS, Better, Cell, Metric, Row, compare, figure_at
from systest.metrics.figures import RoundFigures, round_figures

__all__ = [
    "METRICS",
    "Better",
    "Cell",
    "Metric",
    "RoundFigures",
    "Row",
    "compare",
    "figure_at",
    "round_figures",
]
