"""The board: a line per track, a row per kata that is started, and one line that says what to do next."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Catalog
from dojo.files import ROOT, shown
from dojo.grading import KataResult, State
from dojo.report.terminal import MARKS, MASTERED

ROWS = 23  # of a terminal of 24: the last is for what is typed next
WIDE = 100  # columns from which on titles, difficulty and minutes are shown
_BLOCK = 39  # columns of a track where several stand side by side
_CELL = 14  # columns of a kata in one framework
_AT_LEAST = 3  # started katas that are shown before tracks stand side by side
_UNTOUCHED = (State.NOT_STARTED, State.SKIPPED)


def counted(results: list[KataResult], enabled: tuple[str, ...]) -> tuple[str, ...]:
    """The frameworks that totals count: those that the learner has chosen, or started.

    Who leaves a framework out of dojo.toml has chosen. For all others it is those in which some kata is started, or
    every one of them before that.
    """
    possible = {result.framework for result in results if result.state is not State.SKIPPED}
    started = {result.framework for result in results if result.state not in _UNTOUCHED}
    kept = possible if set(enabled) < set(FRAMEWORKS) else started or possible
    return tuple(name for name in FRAMEWORKS if name in kept)


class Board:
    """What a learner's results come to, for a terminal of this width."""

    def __init__(
        self,
        results: list[KataResult],
        catalog: Catalog,
        enabled: tuple[str, ...],
        given_up: Iterable[str] = (),
        width: int = 80,
    ):
        """`results` in the order of the catalog; `enabled` are the frameworks of dojo.toml."""
        self.catalog, self.given_up, self.width = catalog, set(given_up), width
        self.frameworks = counted(results, enabled)
        self.results = [result for result in results if result.framework in self.frameworks]
        self.tracks: dict[str, dict[str, dict[str, KataResult]]] = {}  # track, kata and framework to the result
        for result in self.results:
            self.tracks.setdefault(result.track, {}).setdefault(result.slug, {})[result.framework] = result

    def overview(self, step: Text, rows: int = ROWS) -> Group:
        """Every track, the katas that are started, and the next step: in so many rows, with blank ones to spare."""
        foot = [legend(), tally(self.results), step]
        room = rows - sum(len(line.wrap(None, self.width)) for line in foot)
        blank = [Text()] if room > len(self.tracks) + 2 else []
        started = self._started()
        across = self._across(room - len(blank), 1 + min(len(started), _AT_LEAST) + len(blank) if started else 0)
        parts = [self._track_lines(across), *blank]
        if started:
            left = room - self._lines(across) - 2 * len(blank) - 1
            parts += [self._kata_rows(started[: max(left, 1)], _share(started, max(left, 1))), *blank]
        return Group(*parts, *foot)

    def of_track(self, track: str) -> Group:
        """Each kata of one track."""
        katas = self.tracks.get(track, {})
        head = Text(self.catalog.tracks[track], style="bold")
        results = [result for row in katas.values() for result in row.values()]
        return Group(head, self._kata_rows(list(katas), track), Text(), legend(), tally(results))

    def of_all(self) -> Group:
        """Each kata of every track, side by side where there is room; a mark per framework."""
        width = max((len(self._entry(slug).plain) for row in self.tracks.values() for slug in row), default=0) + 2
        parts: list[RenderableType] = []
        for track, katas in self.tracks.items():
            across = max(1, self.width // width)
            grid = Table.grid(padding=0)
            for _ in range(across):
                grid.add_column(width=width, no_wrap=True)
            for line in _down_then_across([[self._entry(slug)] for slug in katas], across):
                grid.add_row(*line)
            parts += [Text(f"{self.catalog.tracks[track]} ({track})", style="bold"), grid, Text()]
        order = Text(f"A mark per framework, in this order: {', '.join(self.frameworks)}.", style="dim")
        return Group(*parts, legend(), order, tally(self.results))

    # ---------------------------------------------------------------- tracks

    def _lines(self, across: int) -> int:
        """How many lines the tracks take with so many of them side by side, the header among them."""
        return 1 + -(-len(self.tracks) // across)

    def _across(self, room: int, wanted: int) -> int:
        """How many tracks stand side by side: as few as leave the rows that are wanted."""
        most = max(1, self.width // _BLOCK)
        return next((across for across in range(1, most) if self._lines(across) + wanted <= room), most)

    def _track_lines(self, across: int) -> Table:
        single = across == 1
        table = Table(box=None, padding=(0, 2 if single else 1, 0, 0), pad_edge=False, header_style="dim")
        for _ in range(across):
            table.add_column("track", no_wrap=True, overflow="ellipsis", max_width=self.width // across - 26)
            if self._titled(single):
                table.add_column("", no_wrap=True, overflow="ellipsis", max_width=self.width - 64)
            table.add_column("solved" if single else "✓", justify="right", no_wrap=True)
            table.add_column("mastered" if single else MASTERED[0], justify="right", no_wrap=True)
            table.add_column("points", justify="right", no_wrap=True)
            table.add_column("", min_width=0 if single else 6, no_wrap=True)
        for line in _down_then_across([self._track_cells(track, single) for track in self.tracks], across):
            table.add_row(*line)
        return table

    def _titled(self, single: bool) -> bool:
        return single and self.width >= WIDE

    def _track_cells(self, track: str, single: bool) -> list[RenderableType]:
        katas = self.tracks[track].values()
        solved, mastered = (
            sum(any(getattr(result, name) for result in row.values()) for row in katas)
            for name in ("solved", "mastered")
        )
        score, total = _points(result for row in katas for result in row.values())
        of, size = (" of ", 12) if single else ("/", 4)
        full = size * score // max(total, 1)
        bar = Text.assemble(("█" * full, "green"), ("░" * (size - full), "dim"))
        title = [self.catalog.tracks[track]] if self._titled(single) else []
        return [track, *title, f"{solved}{of}{len(katas)}", str(mastered), f"{score}{of}{total}", bar]

    # ---------------------------------------------------------------- katas

    def _started(self) -> list[str]:
        """The katas that are started or given up: those that are not solved come first."""
        begun = {
            slug: [result.solved for result in row.values() if result.state not in _UNTOUCHED]
            for katas in self.tracks.values()
            for slug, row in katas.items()
        }
        return sorted(
            (slug for slug in begun if begun[slug] or slug in self.given_up), key=lambda slug: all(begun[slug])
        )

    def _row(self, slug: str) -> dict[str, KataResult]:
        return self.tracks[self.catalog.katas[slug].track][slug]

    def _name(self, slug: str) -> str:
        return f"{slug} (solution seen)" if slug in self.given_up else slug

    def _kata_rows(self, slugs: list[str], head: str) -> Table:
        """A row per kata, a column per framework; where there is room, what the kata is about and how long it takes."""
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        room = self.width - _CELL * len(self.frameworks)
        names = [self._name(slug) for slug in slugs]
        table.add_column(head, no_wrap=True, overflow="ellipsis", max_width=room - 1)
        for name in self.frameworks:
            table.add_column(name, min_width=_CELL - 1, no_wrap=True)
        if self.width >= WIDE:
            left = room - max(map(len, (head, *names))) - len(" difficulty minutes  ")
            table.add_column("about", no_wrap=True, overflow="ellipsis", max_width=max(left, 1), style="dim")
            table.add_column("difficulty", justify="right", style="dim")
            table.add_column("minutes", justify="right", style="dim")
        for slug, name in zip(slugs, names, strict=True):
            row, meta = self._row(slug), self.catalog.katas[slug].brief
            facts = [meta.title, str(meta.difficulty), str(meta.minutes)] if self.width >= WIDE else []
            table.add_row(name, *(_cell(row.get(framework)) for framework in self.frameworks), *facts)
        return table

    def _entry(self, slug: str) -> Text:
        """A mark per framework, and the kata's name."""
        text, row = Text(), self._row(slug)
        for name in self.frameworks:
            text.append(*(_mark(row[name]) if name in row else (" ", "")))
        return text.append(f" {self._name(slug)}", style="default")


def _mark(result: KataResult) -> tuple[str, str]:
    return MASTERED if result.mastered else MARKS[result.state]


def _cell(result: KataResult | None) -> Text:
    if result is None:
        return Text("")
    mark, style = MARKS[result.state]
    if result.state is State.NOT_STARTED:
        return Text(mark, style=style)
    if result.state in (State.SKIPPED, State.ERROR):
        return Text(f"{mark} {result.state}", style=style)
    text = Text(f"{mark} {result.score} of {result.total}", style=style)
    return text.append(f" {MASTERED[0]}", style=MASTERED[1]) if result.mastered else text


def _down_then_across(blocks: list[list], across: int) -> list[list]:
    """The rows of blocks of cells that are read column by column."""
    lines = -(-len(blocks) // across)
    return [[cell for block in blocks[line::lines] for cell in block] for line in range(lines)]


def _share(slugs: list[str], fit: int) -> str:
    return "started" if len(slugs) <= fit else f"started, {fit} of {len(slugs)} (check -- --all)"


def _points(results: Iterable[KataResult]) -> tuple[int, int]:
    """(had, to be had)."""
    pairs = [(result.score, result.total) for result in results]
    return sum(score for score, _ in pairs), sum(total for _, total in pairs)


def legend() -> Text:
    """What the marks mean."""
    words = {State.PASSED: "solved", State.FAILED: "not solved", State.ERROR: "error of dojo"}
    text = Text()
    for state, (mark, style) in MARKS.items():
        if state is not State.LOCKED:
            text.append(f"{mark} ", style=style).append(f"{words.get(state, state)}  ", style="dim")
        if state is State.PASSED:
            text.append(f"{MASTERED[0]} ", style=MASTERED[1]).append("mastered  ", style="dim")
    text.rstrip()
    return text


def tally(results: list[KataResult]) -> Text:
    """How many katas are in which state, and the points in all."""
    counts = {state: sum(result.state is state for result in results) for state in State}
    words = [f"{count} {state}" for state, count in counts.items() if count]
    score, total = _points(results)
    return Text(f"{', '.join(words)}; {score} of {total} points")


def next_step(result: KataResult | None, catalog: Catalog) -> Text:
    """Which kata, which file to open, how long it takes, how to check it."""
    if result is None:
        return Text("Next: nothing is left. Every kata here is solved.", style="bold green")
    kata = catalog.katas[result.slug]
    path = shown(kata.implementation(result.framework, ROOT / "katas"))
    verb = "begin" if result.state is State.NOT_STARTED else "go on with"
    text = Text("Next: ", style="bold")
    text.append(f"{verb} {kata.slug} ({kata.brief.title}, about {kata.brief.minutes} minutes): open ")
    text.append(path, style="cyan")
    text.append(f", write it, then run pytest -k {kata.slug}")
    return text
