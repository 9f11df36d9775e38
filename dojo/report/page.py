"""The progress report: one HTML page that needs nothing else, neither files nor a network."""

from datetime import datetime
from html import escape
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Catalog, Kata
from dojo.grading import KataResult, State
from dojo.learner.progress import Progress

_WIDTH, _HEIGHT, _MARGIN = 800, 200, 36  # of the history, in the units of its view box


def write_page(path: Path, results: list[KataResult], catalog: Catalog, progress: Progress) -> None:
    """Write the page; links to katas are relative to where it lies, or absolute where they must be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results, catalog, progress), encoding="utf-8")


def page(results: list[KataResult], catalog: Catalog, progress: Progress) -> str:
    """The whole document."""
    style = (Path(__file__).with_name("page.css")).read_text(encoding="utf-8")
    parts = [_tally(results, progress), _history(progress)]
    parts += [_track(track, title, results, catalog, progress) for track, title in catalog.tracks.items()]
    parts.append(_interviews(progress))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dojo: progress</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#tracks">Skip to the katas</a>
<header><h1>Progress in the dojo</h1>
<p class="dim">Written {escape(datetime.now().strftime("%d %B %Y, %H:%M"))}</p></header>
<main>
{"".join(parts)}</main>
</body>
</html>
"""


def _tally(results: list[KataResult], progress: Progress) -> str:
    score, total = sum(result.score for result in results), sum(result.total for result in results)
    passed = sum(result.state is State.PASSED for result in results)
    hints = sum(count for levels in progress.hints.values() for count in levels.values())
    facts = {
        "Points": f"{score} of {total}",
        "Solved": f"{passed} of {len(results)}",
        "Time spent": _duration(sum(entry.seconds for entry in progress.entries.values())),
        "Hints used": str(hints),
        "Solutions seen unsolved": str(len(progress.given_up)),
    }
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="tally">{cells}</dl>\n'


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


# -------------------------------------------------------------------- history


def points_by_day(progress: Progress) -> list[tuple[str, int]]:
    """(day, points held at its end), for every day on which some score changed."""
    changes = sorted(
        (change["at"], key, change["score"]) for key, entry in progress.entries.items() for change in entry.history
    )
    held: dict[str, int] = {}
    days: dict[str, int] = {}
    for at, key, score in changes:
        held[key] = score
        days[at[:10]] = sum(held.values())
    return list(days.items())


def _history(progress: Progress) -> str:
    days = points_by_day(progress)
    if not days:
        return '<section><h2>History</h2><p class="dim">Nothing yet: the first check draws it.</p></section>\n'
    most = max(points for _, points in days) or 1
    numbers = [datetime.fromisoformat(day).toordinal() for day, _ in days]
    span = max(numbers[-1] - numbers[0], 1)

    def at(number: int, points: int) -> tuple[float, float]:
        x = _MARGIN + (number - numbers[0]) / span * (_WIDTH - 2 * _MARGIN)
        return round(x, 1), round(_HEIGHT - _MARGIN - points / most * (_HEIGHT - 2 * _MARGIN), 1)

    spots = [at(number, points) for number, (_, points) in zip(numbers, days, strict=True)]
    line = "M" + " L".join(f"{x} {y}" for x, y in spots)
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="4"><title>{day}: {points} points</title></circle>'
        for (x, y), (day, points) in zip(spots, days, strict=True)
    )
    ends = f'<text x="{_MARGIN}" y="{_HEIGHT - 10}">{days[0][0]}</text>'
    if len(days) > 1:
        ends += f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 10}" text-anchor="end">{days[-1][0]}</text>'
    told = f"Points by day: {days[0][1]} on {days[0][0]}, {days[-1][1]} on {days[-1][0]}, at most {most}."
    return f"""<section><h2>History</h2>
<svg class="history" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}">
<text x="{_MARGIN}" y="20">{most} points</text><path d="{line}"/>{dots}{ends}</svg></section>
"""


# -------------------------------------------------------------------- katas


def _track(track: str, title: str, results: list[KataResult], catalog: Catalog, progress: Progress) -> str:
    by_kata: dict[str, dict[str, KataResult]] = {}
    for result in results:
        if result.track == track:
            by_kata.setdefault(result.slug, {})[result.framework] = result
    if not by_kata:
        return ""
    frameworks = [name for name in FRAMEWORKS if any(name in row for row in by_kata.values())]
    rows = "".join(_row(catalog.find(slug), row, frameworks, progress) for slug, row in by_kata.items())
    return f"""<section id="{"tracks" if track == next(iter(catalog.tracks)) else escape(track)}">
<h2>{escape(title)}</h2>
{_table(title, ["Kata", *frameworks, "Time", "Hints"], rows)}</section>
"""


def _table(title: str, columns: list[str], rows: str) -> str:
    """The roles say what the tags say: on a phone the rows are drawn as blocks, and browsers then forget it."""
    head = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in columns)
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">
<table role="table"><thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">
{rows}</tbody></table></div>"""


def _row(kata: Kata, by_framework: dict[str, KataResult], frameworks: list[str], progress: Progress) -> str:
    seconds = sum(progress.entries[key].seconds for key in progress.entries if key.split("/")[0] == kata.slug)
    hints = sum(progress.hints.get(kata.slug, {}).values())
    seen = ' <span class="dim">solution seen</span>' if kata.slug in progress.given_up else ""
    cells = "".join(_cell(kata, name, by_framework.get(name)) for name in frameworks)
    return (
        f'<tr role="row"><th scope="row" role="rowheader">{escape(kata.title)} '
        f'<span class="dim">{kata.slug}</span>{seen}</th>{cells}'
        f'<td role="cell" data-name="Time">{_duration(seconds)}</td>'
        f'<td role="cell" data-name="Hints">{hints}</td></tr>\n'
    )


def _cell(kata: Kata, framework: str, result: KataResult | None) -> str:
    if result is None:
        return f'<td role="cell" data-name="{framework}"><span class="dim">not asked</span></td>'
    file = kata.folder / kata.file_name(framework)
    told = (
        str(result.state) if result.state is State.NOT_STARTED else f"{result.state}, {result.score} of {result.total}"
    )
    return (
        f'<td role="cell" data-name="{framework}">{_levels(result)} '
        f'<a class="state {_class(result.state)}" href="{escape(file.as_uri())}" '
        f'aria-label="{kata.slug} in {framework}: {told}">{escape(told)}</a></td>'
    )


def _class(state: State) -> str:
    return str(state).replace(" ", "-")


def _levels(result: KataResult) -> str:
    """A bar per level, coloured by its state; what it says is in the text beside it."""
    bars = "".join(
        f'<i class="{_class(level.state)}" title="{level.number} {escape(level.title)}: {level.state}"></i>'
        for level in result.levels
    )
    return f'<span class="levels" aria-hidden="true">{bars}</span>'


def _interviews(progress: Progress) -> str:
    if not progress.interviews:
        return ""
    rows = "".join(_interview_row(card) for card in progress.interviews)
    columns = ["Day", "Kata", "Framework", "Points", "Levels", "Minutes", "Runs", "Hints"]
    return f"<section><h2>Interviews</h2>{_table('Interviews', columns, rows)}</section>\n"


def _interview_row(card: dict) -> str:
    values = {
        "Day": card["at"][:10],
        "Kata": card["kata"],
        "Framework": card["framework"],
        "Points": f"{card['score']} of {card['total']}",
        "Levels": f"{card['levels']} of {card['all_levels']}",
        "Minutes": f"{card['seconds'] / 60:.0f} of {card['minutes']:g}",
        "Runs": card["runs"],
        "Hints": card["hints"],
    }
    cells = "".join(f'<td role="cell" data-name="{name}">{escape(str(value))}</td>' for name, value in values.items())
    return f'<tr role="row">{cells}</tr>\n'
