"""From what a child wrote before it ended to the result of its kata."""

import json
import re
from pathlib import Path

from dojo.files import shown
from dojo.grading import STOPPED, KataResult, State, TestResult, grade, read_test
from dojo.running.job import Job


def read_events(path: Path) -> list[dict]:
    """The events; a last line that a killed child left half written is dropped."""
    events = []
    for line in read_text(path).splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def assemble(job: Job, events: list[dict], reply: dict, stack: str, log: str) -> KataResult:
    """The kata's result, from what the child planned, began and reported before it ended."""
    kata = job.kata
    plan = next((event["plan"] for event in events if "plan" in event), None)
    if not plan:
        reason = _tail(log) or _cause(reply, stack)
        error = TestResult("collection", "the tests can be read", 1, "collection", 0, False, State.ERROR, reason)
        return grade(
            kata.track, kata.slug, job.framework, [error], "The tests could not be read; this is not your fault."
        )
    tests = {entry["test"]["id"]: read_test(entry["test"]) for entry in plan}
    reported = {
        event["result"]["test"]["id"]: read_test(event["result"]["test"]) for event in events if "result" in event
    }
    tests |= reported
    finished = [event["finished"] for event in events if "finished" in event]
    if finished and (finished[-1] == "refused" or reported.keys() >= tests.keys()):
        return grade(kata.track, kata.slug, job.framework, list(tests.values()))
    running = [event["start"] for event in events if "start" in event and event["start"] not in reported]
    message = _cause(reply, stack)
    if running and running[-1] in tests:
        test = tests[running[-1]]
        test.state, test.message, test.where = State.FAILED, message, _line(job, stack)
        message = ""
    elif missing := len(tests.keys() - reported.keys()):
        message = f"{missing} tests never ran: {message}"
    return grade(kata.track, kata.slug, job.framework, list(tests.values()), message)


def _cause(reply: dict, stack: str) -> str:
    """Why a child ended before its time."""
    code = reply["code"]
    if reply["cause"] == "memory":
        return f"{STOPPED}: your code used too much memory."
    if reply["cause"] == "time" or "Timeout" in stack:
        return f"{STOPPED}: your code ran too long. Is there an endless loop?"
    if code < 0:
        return f"the process of your code died of signal {-code}."
    return f"the process of your code ended by itself, with exit status {code}, before its tests were done."


def _line(job: Job, stack: str) -> str:
    """file:line where the implementation stood when the child was ended."""
    path = job.implementation
    match = re.search(rf'File "{re.escape(str(path))}", line (\d+)', stack)
    return f"{shown(path)}:{match[1]}" if match else shown(path)


def _tail(log: str) -> str:
    return log.strip()[-1500:]
