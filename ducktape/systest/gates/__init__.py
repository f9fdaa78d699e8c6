"""Gates: bounds on a comparison's figures, read from a file, and from a run's rounds to a verdict on each."""

from systest.gates.gate import Gate, GatesError, load_gates
from systest.gates.judgement import GateVerdict, judge

__all__ = ["Gate", "GateVerdict", "GatesError", "judge", "load_gates"]
