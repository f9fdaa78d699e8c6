"""Reports: a run's result as JSON, and the table of it in a terminal and in Markdown. Pure."""

from systest.reports.markdown import markdown
from systest.reports.result import RoundResult, RunResult, StrategyResult
from systest.reports.terminal import terminal

__all__ = ["RoundResult", "RunResult", "StrategyResult", "markdown", "terminal"]
