"""The speed table of the producer's contract: its rows and goals as data, played, judged and shown."""

from systest.speed.report import markdown, terminal
from systest.speed.result import SpeedResult
from systest.speed.run import REPORT, SpeedOptions, play_speed

__all__ = ["REPORT", "SpeedOptions", "SpeedResult", "markdown", "play_speed", "terminal"]
