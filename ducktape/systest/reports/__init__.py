"""Reports: a run's result as JSON, the table of it in a terminal and in Markdown, its gates in JUnit's XML. Pure."""

from systest.reports.junit import junit
from systest.reports.markdown import markdown
from systest.reports.result import Part, RoundResult, RunResult, StrategyResult
from systest.reports.terminal import brief, terminal
from systest.reports.words import gate_failures

__all__ = [
    "Part",
    "RoundResult",
    "RunResult",
    "StrategyResult",
    "brief",
    "gate_failures",
    "junit",
    "markdown",
    "terminal",
]
