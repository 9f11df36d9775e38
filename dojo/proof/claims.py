"""Claims: this job must end so. Mistakes, styles, solutions and mutants each make them."""

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Kata
from dojo.curriculum.mistakes import apply, read_mistakes
from dojo.files import ROOT, SOLUTIONS, shown
from dojo.keys import Key, key_of
from dojo.proof.mutants import mutants_of
from dojo.running.job import Job

STYLES = ROOT / "tests" / "styles"
# For code that is known to end, on a machine that all these tests keep busy.
PATIENT = "--test-seconds=60"
_REFUSED = ("--stop-when-refused", PATIENT, "--diagnosis-seconds=3")
PASSES = "passes"


@dataclass(frozen=True)
class Claim:
    """What an implementation of a kata must come to. `verdict` is what `verdict_of` a result says."""

    kata: Kata
    framework: str
    kind: str  # mistake, style, solution or mutant
    name: str  # no other claim of the kind, kata and framework has it
    source: str = field(repr=False)
    verdict: str  # '' for a mutant, which may survive where it changes nothing
    says: str = ""  # what the diagnosis must tell, if it tells anything
    options: tuple[str, ...] = (PATIENT,)

    @property
    def id(self) -> str:
        """Unlike any other claim of the kata: its line in the ledger."""
        return f"{self.kind} {self.framework} {self.name}"

    def __str__(self) -> str:
        return f"{self.kata.slug} in {self.framework}: {self.kind} {self.name!r}"

    def key(self) -> Key:
        return key_of(self.kata, self.framework, self.source.encode())

    def job(self, folder: Path) -> Job:
        """Write the implementation into a tree below `folder`; the job that tests it there."""
        job = Job(self.kata, self.framework, folder, self.options, str(self))
        job.implementation.parent.mkdir(parents=True, exist_ok=True)
        job.implementation.write_text(self.source, encoding="utf-8")
        return job


Maker = Callable[[Kata, str], Iterator[Claim]]


def claims_of(makers: Iterable[Maker], wanted: Iterable[tuple[Kata, str]]) -> list[Claim]:
    """Every claim of the katas in their frameworks, NumPy's first: meanwhile the other frameworks are imported."""
    ordered = sorted(wanted, key=lambda pair: FRAMEWORKS.index(pair[1]))
    return [claim for kata, framework in ordered for maker in makers for claim in maker(kata, framework)]


def refused_at(level: int) -> str:
    return f"refused at level {level}"


def solution_source(kata: Kata, framework: str) -> str:
    return kata.implementation(framework, SOLUTIONS).read_text(encoding="utf-8")


def of_solution(kata: Kata, framework: str) -> Iterator[Claim]:
    """The reference solution passes every level."""
    options = (PATIENT, "--no-diagnosis")
    yield Claim(kata, framework, "solution", kata.slug, solution_source(kata, framework), PASSES, options=options)


def of_mistakes(kata: Kata, framework: str) -> Iterator[Claim]:
    """Each mistake is refused first at its level, and never diagnosed as another only."""
    source, file = solution_source(kata, framework), shown(kata.implementation(framework, SOLUTIONS))
    for mistake in read_mistakes(kata):
        if mistake.framework == framework:
            wrong, verdict = apply(mistake, source, file), refused_at(mistake.level)
            yield Claim(kata, framework, "mistake", mistake.name, wrong, verdict, mistake.says, _REFUSED)


def of_styles(kata: Kata, framework: str) -> Iterator[Claim]:
    """Each right solution in another style passes, or stops where it says that it must."""
    for file in style_files(kata):
        if file.name == kata.file_name(framework):
            source = file.read_text(encoding="utf-8")
            verdict = refused_at(stop) if (stop := stops_at(source)) else PASSES
            yield Claim(kata, framework, "style", file.parent.name, source, verdict)


def of_mutants(kata: Kata, framework: str) -> Iterator[Claim]:
    """Each automatic mutant of the solution, which the tests ought to refuse at some level."""
    for mutant in mutants_of(solution_source(kata, framework)):
        digest = hashlib.sha256(mutant.source.encode()).hexdigest()[:8]
        name = f"{digest} line {mutant.line}: {mutant.change}"
        yield Claim(
            kata, framework, "mutant", name, mutant.source, "", options=("--stop-when-refused", "--no-diagnosis")
        )


def style_files(kata: Kata) -> list[Path]:
    """The right solutions of the kata in other styles."""
    return sorted((STYLES / kata.track / kata.slug).glob("*/*.py"))


def stops_at(source: str) -> int | None:
    """The level at which a right but slow style must be refused, if it says so."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STOPS_AT_LEVEL":
            return ast.literal_eval(node.value)
    return None
