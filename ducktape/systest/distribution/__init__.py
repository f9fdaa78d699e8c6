"""Where Kafka comes from: a Java runtime, Kafka's jars, a start-up cache. Knows nothing of ducktape.

Runs on any node that has this package: `python -m systest.distribution ensure --json` prints one line of
JSON from which `Distribution.from_json` makes the value again on the driver.
"""

from systest.distribution.distribution import Distribution, ensure, java_compiler
from systest.distribution.errors import DistributionUnavailable

__all__ = ("Distribution", "DistributionUnavailable", "ensure", "java_compiler")
