"""How a record's cost scales with tasks, topics, partitions, records in flight and sizes: played, shown, drawn."""

from systest.scaling.report import body, chart, markdown, terminal
from systest.scaling.result import ScalingResult
from systest.scaling.run import REPORT, ScalingOptions, play_scaling

__all__ = [
    "REPORT",
    "ScalingOptions",
    "ScalingResult",
    "body",
    "chart",
    "markdown",
    "play_scaling",
    "terminal",
]
