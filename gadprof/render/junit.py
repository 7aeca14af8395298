"""JUnit XML of a check: one suite a model, one case a rule; deterministic, without a clock."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from gadprof.results.escape import xml_text
from gadprof.results.verdicts import CheckResult, Verdict


def to_junit(result: CheckResult) -> str:
    """The XML document; broken rules are failures, unjudged ones errors, warnings are output."""
    root = ET.Element("testsuites", _counts(result.verdicts, "gadprof check"))
    for name in dict.fromkeys(verdict.budget for verdict in result.verdicts):
        verdicts = tuple(verdict for verdict in result.verdicts if verdict.budget == name)
        suite = ET.SubElement(root, "testsuite", _counts(verdicts, xml_text(name)))
        for verdict in verdicts:
            _case(suite, verdict)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _counts(verdicts: tuple[Verdict, ...], name: str) -> dict[str, str]:
    return {
        "name": name,
        "tests": str(len(verdicts)),
        "failures": str(sum(verdict.status == "fail" for verdict in verdicts)),
        "errors": str(sum(verdict.status == "error" for verdict in verdicts)),
    }


def _case(suite: ET.Element, verdict: Verdict) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"classname": f"gadprof.{xml_text(verdict.budget)}", "name": xml_text(verdict.rule)},
    )
    message = xml_text(verdict.message)
    match verdict.status:
        case "fail":
            ET.SubElement(case, "failure", {"message": message}).text = message
        case "error":
            ET.SubElement(case, "error", {"message": message}).text = message
        case "warn" | "waived":
            ET.SubElement(case, "system-out").text = f"warning: {message}"
        case "pass":
            ET.SubElement(case, "system-out").text = message
