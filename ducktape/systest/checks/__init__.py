"""Checks: from what callers were told and what lies in the log to anomalies. Pure; no clock, no service.

The model. A producer's caller sends records numbered 0, 1, 2 ... in call order and is told one outcome of each:
acknowledged at a place, failed (certainly not in the log), or unknown (maybe). Afterwards a reader returns everything
between the first and last offset of every partition. Each value carries whose record it is, which one, and a
checksum, so a record in the log speaks for itself. Three steps, kept apart:

1. `evidence` finds each record in the log. Only an intact row proves which record it is.
2. Each check is a function from that evidence to one anomaly or none, and argues in its docstring why what it
   finds can't be anything else. A defect counts under exactly one name: absent is `lost-write`, there but not as
   sent is `corrupt`, there but acknowledged elsewhere is `offset-mismatch`, and if that is so because reports
   changed hands, `wrong-future`.
3. `verdict` weighs them. Unknown outcomes stay unknown to the end: present and absent are both legal.

A history in which nothing was acknowledged, a log that no longer reaches back to its beginning, and a check that raised
prove nothing: UNKNOWN, never PASS. What transactions add to that is in `transactions`.
"""

from systest.checks.judgement import Anomaly, Expectation, Judgement, Kind, Verdict
from systest.checks.verdict import judge

__all__ = ["Anomaly", "Expectation", "Judgement", "Kind", "Verdict", "judge"]
