"""The verdicts on the gates as JUnit's XML, for a CI server: one test case a gate, beside ducktape's own report.

A gate that the run fails by is a failure: one that is not met, with its figures, or one that is not judged for want of
a figure that the run should have, with the reason. Any other that is undecided or not judged is skipped and says why.
"""

from __future__ import annotations

from xml.etree import ElementTree

from systest.metrics.verdict import Verdict
from systest.reports import words
from systest.reports.result import RunResult

_SUITE = "gates"


def junit(result: RunResult) -> str:
    """The whole file."""
    verdicts = result.verdicts()
    failures = sum(each.is_failure for each in verdicts)
    skipped = sum(each.verdict is not Verdict.MET and not each.is_failure for each in verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name=_SUITE,
        timestamp=result.started,
        tests=str(len(verdicts)),
        failures=str(failures),
        errors="0",
        skipped=str(skipped),
    )
    for each in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=_SUITE, name=each.gate.name)
        figures = f"{words.judged(each)} ({words.judged_figure(each)})"
        if each.is_failure:
            ElementTree.SubElement(case, "failure", message=words.gate_failure(each)).text = each.gate.reason
        elif each.verdict is Verdict.MET:
            ElementTree.SubElement(case, "system-out").text = figures
        else:
            ElementTree.SubElement(case, "skipped", message=f"{each.verdict.value}: {figures}")
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
