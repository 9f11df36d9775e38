"""The results as JUnit XML: a suite per kata and framework, a case per test, points as properties of both."""

from pathlib import Path
from xml.etree import ElementTree as xml

from dojo.grading import KataResult, State, TestResult


def write_junit(path: Path, results: list[KataResult]) -> None:
    root = xml.Element("testsuites")
    for result in results:
        root.append(_suite(result))
    tree = xml.ElementTree(root)
    xml.indent(tree)
    path.parent.mkdir(parents=True, exist_ok=True)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _suite(result: KataResult) -> xml.Element:
    tests = [test for level in result.levels for test in level.tests]
    states = [test.state for test in tests]
    failures = sum(map(_fails, tests))
    errors = sum(state is State.ERROR for state in states)
    passed = states.count(State.PASSED)
    suite = xml.Element(
        "testsuite",
        name=f"{result.track}.{result.slug}.{result.framework}",
        tests=str(len(tests)),
        failures=str(failures),
        errors=str(errors),
        skipped=str(len(tests) - passed - failures - errors),
        time=f"{result.seconds:.3f}",
    )
    standing = {name: str(getattr(result, name)).lower() for name in ("solved", "mastered")}
    _properties(suite, {"state": result.state, **standing, "score": result.score, "total": result.total})
    for test in tests:
        suite.append(_case(result, test))
    return suite


def _case(result: KataResult, test: TestResult) -> xml.Element:
    case = xml.Element(
        "testcase",
        classname=f"{result.track}.{result.slug}.{result.framework}",
        name=test.name,
        time=f"{test.seconds:.3f}",
    )
    beyond = {"beyond": "true"} if test.beyond else {}
    values = {"level": test.level, "title": test.title, "points": test.points, "state": test.state or "never ran"}
    _properties(case, values | beyond)
    if _fails(test):
        xml.SubElement(case, "failure", message=_clean(test.message)).text = _clean(f"{test.message}\n{test.where}")
    elif test.state is State.ERROR:
        xml.SubElement(case, "error", message=_clean(test.message))
    elif test.state is not State.PASSED:
        xml.SubElement(case, "skipped", message=_clean(test.message or "it never ran"))
    return case


def _fails(test: TestResult) -> bool:
    """Whether a program that reads this should say so: what only beyond levels lack is no failure."""
    return test.state in (State.FAILED, State.NOT_STARTED) and not test.beyond


def _properties(parent: xml.Element, values: dict[str, object]) -> None:
    properties = xml.SubElement(parent, "properties")
    for name, value in values.items():
        xml.SubElement(properties, "property", name=name, value=str(value))


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(character for character in text if character >= " " or character in "\n\t")
