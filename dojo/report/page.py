"""The progress report: one HTML page that needs nothing else, neither files nor a network."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Catalog
from dojo.grading import KataResult, State

_HERE = Path(__file__).parent
_WIDTH, _HEIGHT, _MARGIN = 800, 200, 36  # of the history, in the units of its view box


@dataclass(frozen=True)
class Record:
    """What the page tells of a learner beside the results."""

    seconds: dict[str, float] = field(default_factory=dict)  # kata to the time spent on it
    hints: dict[str, int] = field(default_factory=dict)  # kata to how many were shown
    given_up: frozenset[str] = frozenset()  # katas whose solution was shown unsolved
    days: list[tuple[str, int]] = field(default_factory=list)  # (day, points held at its end), in order
    interviews: list[dict[str, Any]] = field(default_factory=list)  # scorecards


@dataclass(frozen=True)
class _Track:
    id: str
    title: str
    frameworks: list[str]
    katas: dict[str, dict[str, KataResult]]  # slug and framework to the result


def write_page(path: Path, results: list[KataResult], catalog: Catalog, record: Record) -> None:
    """Write the page; it links to the stubs where they lie on this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results, catalog, record), encoding="utf-8")


def page(results: list[KataResult], catalog: Catalog, record: Record) -> str:
    """The whole document."""
    templates = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"duration": _duration, "class": _class, "told": _told}
    return templates.get_template("page.html").render(
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        written=datetime.now().strftime("%d %B %Y, %H:%M"),
        tally=_tally(results, record),
        curve=_curve(record.days),
        tracks=_tracks(results, catalog),
        catalog=catalog,
        record=record,
    )


def _tally(results: list[KataResult], record: Record) -> dict[str, str]:
    score, total = sum(result.score for result in results), sum(result.total for result in results)
    return {
        "Points": f"{score} of {total}",
        "Solved": f"{sum(result.solved for result in results)} of {len(results)}",
        "Mastered": f"{sum(result.mastered for result in results)} of {len(results)}",
        "Time spent": _duration(sum(record.seconds.values())),
        "Hints used": str(sum(record.hints.values())),
        "Solutions seen unsolved": str(len(record.given_up)),
    }


def _tracks(results: list[KataResult], catalog: Catalog) -> list[_Track]:
    found = []
    for track, title in catalog.tracks.items():
        katas: dict[str, dict[str, KataResult]] = {}
        for result in results:
            if result.track == track:
                katas.setdefault(result.slug, {})[result.framework] = result
        if katas:
            frameworks = [name for name in FRAMEWORKS if any(name in row for row in katas.values())]
            found.append(_Track(track, title, frameworks, katas))
    return found


def _curve(days: list[tuple[str, int]]) -> dict[str, Any] | None:
    """The history as a curve: a spot per day, (x, y, day, points); None before the first."""
    if not days:
        return None
    most = max(points for _, points in days) or 1
    numbers = [datetime.fromisoformat(day).toordinal() for day, _ in days]
    span = max(numbers[-1] - numbers[0], 1)
    spots = []
    for number, (day, points) in zip(numbers, days, strict=True):
        x = _MARGIN + (number - numbers[0]) / span * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - points / most * (_HEIGHT - 2 * _MARGIN)
        spots.append((round(x, 1), round(y, 1), day, points))
    return {"spots": spots, "most": most, "width": _WIDTH, "height": _HEIGHT, "margin": _MARGIN}


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _class(state: State) -> str:
    return str(state).replace(" ", "-")


def _told(result: KataResult) -> str:
    untouched = result.state is State.NOT_STARTED
    return str(result.state) if untouched else f"{result.state}, {result.score} of {result.total}"
