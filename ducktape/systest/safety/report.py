"""A soak in words: the table of its samples, what became of the records, and the verdict in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from systest.safety.judgement import Finding, Sample
from systest.safety.outcomes import Outcomes
from systest.safety.session import Check

_WIDTH = 11
_HEADERS = {
    "rss_mib": "RSS MiB",
    "heap_mib": "C heap MiB",
    "blocks": "blocks",
    "objects": "objects",
    "objects_but_errors": "but errors",
    "own_objects": "producer's",
    "none_references": "None refs",
    "threads": "threads",
    "descriptors": "fds",
}


def header() -> str:
    """Above the samples."""
    return _line(["records", "producers", "seconds", *_HEADERS.values()])


def row(sample: Sample) -> str:
    """Of one sample."""
    figures = (_figure(getattr(sample, name)) for name in _HEADERS)
    return _line([f"{sample.records:,}", f"{sample.producers:,}", f"{sample.at_s:.1f}", *figures])


def growth_rows(findings: Sequence[Finding]) -> list[str]:
    """Below the samples: by how much each figure grew per million records, and by how much it might."""
    judged = {each.bound.figure: each for each in findings}
    growths = [_figure(judged[name].growth) if name in judged else "" for name in _HEADERS]
    allowed = [_figure(judged[name].bound.allowed) if name in judged else "" for name in _HEADERS]
    return [
        "Per million records, over the second half:",
        _line(["", "", "grew", *growths]),
        _line(["", "", "may grow", *allowed]),
    ]


def outcome_lines(outcomes: Outcomes) -> list[str]:
    """What became of the records."""
    failed = ", ".join(f"{name} {times:,}" for name, times in outcomes.failed.most_common())
    return [
        f"{outcomes.sent:,} records: {outcomes.acknowledged:,} acknowledged, {outcomes.failed.total():,} failed, "
        f"{outcomes.given_up:,} given up, {outcomes.refused:,} refused at once, {outcomes.unheard:,} with their loop "
        f"closed first, {outcomes.pending:,} pending; {outcomes.callbacks:,} on_delivery calls were due",
        f"failed: {failed}",
    ]


def checks(findings: Iterable[Finding], outcomes: Outcomes) -> list[Check]:
    """What was judged."""
    defects = outcomes.defects()
    found = Check("outcomes", not defects, "; ".join(defects) or "each record had one outcome")
    return [found, *(_check(each) for each in findings if each.growth is not None)]


def verdict(judged: Sequence[Check], samples: Sequence[Sample]) -> str:
    """In a sentence."""
    bad = [check.words for check in judged if not check.is_good]
    if bad:
        return f"NOT SAFE: {'; '.join(bad)}."
    return (
        f"Safe: each of {samples[-1].records:,} records of {samples[-1].producers:,} producers had one outcome, and of "
        f"{len(judged) - 1} figures none grew beyond its allowance."
    )


def _check(finding: Finding) -> Check:
    bound = finding.bound
    words = f"{bound.label} changed by {_figure(finding.growth)} per million records, {_figure(bound.allowed)} allowed"
    if finding.grown:
        words += f" ({', '.join(f'{more:+,} {name}' for name, more in finding.grown)})"
    return Check(bound.figure, finding.is_flat, words)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _line(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>{_WIDTH}}" for cell in cells)
