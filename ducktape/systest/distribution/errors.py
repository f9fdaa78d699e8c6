"""The one error of this package that a caller is meant to catch."""


class DistributionUnavailable(Exception):
    """Real Kafka can't be had on this machine now. The message is one sentence: why, and what to do."""
