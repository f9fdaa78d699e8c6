"""The night: everything that takes long, one step after the other on one machine, with a summary at its end."""

from systest.nightly.night import Night, play_night
from systest.nightly.steps import STEPS, Step, steps_named
from systest.nightly.summary import markdown, terminal, to_json

__all__ = ["STEPS", "Night", "Step", "markdown", "play_night", "steps_named", "terminal", "to_json"]
