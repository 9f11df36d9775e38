"""What every kata keeps: its parts, its promises to the others, and the questions that it answers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.levels import read_levels
from dojo.curriculum.mistakes import apply, read_mistakes
from dojo.curriculum.off_limits import forbidden_uses
from dojo.curriculum.questions import answered, read_questions
from dojo.curriculum.stubs import is_started
from dojo.files import ROOT
from dojo.proof.claims import STYLES, style_files

CATALOG = Catalog()
KATAS = list(CATALOG.katas.values())
SOLUTIONS = ROOT / "solutions"
QUESTIONS = read_questions(CATALOG)
# How many questions each list has; `guide/tips` stands beside the numbered ones.
COUNTS = {
    "coding": 7,
    "bank/technical": 54,
    "bank/coding": 23,
    "bank/behavioral": 25,
    "bank/design": 15,
    "bank/solution-technical": 3,
    "bank/solution-coding": 4,
    "bank/solution-design": 2,
    "notebook": 58,
    "notebook/unnumbered": 14,
    "guide": 34,
    "ladder/beginner": 10,
    "ladder/intermediate": 10,
    "ladder/advanced": 10,
    "modern": 9,
}
IN_FRAMEWORKS = [(kata, framework) for kata in KATAS for framework in kata.frameworks]


def for_each_kata(function):
    return pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.slug)(function)


def for_each_stub(function):
    ids = [f"{kata.slug}-{framework}" for kata, framework in IN_FRAMEWORKS]
    return pytest.mark.parametrize(("kata", "framework"), IN_FRAMEWORKS, ids=ids)(function)


def stub_of(kata: Kata, framework: str) -> Path:
    return kata.implementation(framework, CATALOG.root)


def signatures(path: Path) -> dict[str, list[str]]:
    """Qualified public name to the names of its parameters."""
    found = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                arguments = node.args
                found[prefix + node.name] = [
                    argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                ]
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[prefix + node.name] = []
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def source_lines(kata: Kata) -> list[str]:
    """The lines of the kata's test file and of what supports it."""
    files = [kata.test_file, *kata.folder.glob("*_support.py")]
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]


class TestParts:
    @for_each_kata
    def test_every_part_is_there(self, kata):
        assert kata.test_file.exists()
        assert kata.frameworks
        for framework in kata.frameworks:
            assert kata.implementation(framework, SOLUTIONS).exists()
        for name in ("mistakes.toml", "answer.md"):
            assert (SOLUTIONS / kata.track / kata.slug / name).exists()

    def test_solutions_hold_nothing_that_katas_lack(self):
        strangers = [
            path for path in SOLUTIONS.glob("*/*/*.py") if not (CATALOG.root / path.relative_to(SOLUTIONS)).exists()
        ]
        assert not strangers

    @for_each_kata
    def test_its_track_has_a_title(self, kata):
        assert kata.track in CATALOG.tracks

    @for_each_kata
    def test_its_difficulty_and_prerequisites_make_sense(self, kata):
        assert 1 <= kata.meta.difficulty <= 5
        assert 5 <= kata.meta.minutes <= 120
        assert set(kata.meta.after) <= CATALOG.katas.keys() - {kata.slug}

    def test_prerequisites_form_no_circle(self):
        def visit(slug, path):
            assert slug not in path, " → ".join([*path, slug])
            for before in CATALOG.find(slug).meta.after:
                visit(before, [*path, slug])

        for slug in CATALOG.katas:
            visit(slug, [])


class TestStubs:
    @for_each_stub
    def test_a_stub_is_not_started(self, kata, framework):
        assert not is_started(stub_of(kata, framework))

    @for_each_stub
    def test_every_function_has_a_docstring(self, kata, framework):
        tree = ast.parse(stub_of(kata, framework).read_text(encoding="utf-8"))
        assert ast.get_docstring(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert ast.get_docstring(node), f"{node.name} has no docstring"

    @for_each_stub
    def test_the_solution_has_the_same_names_and_parameters(self, kata, framework):
        asked = signatures(stub_of(kata, framework))
        given = signatures(kata.implementation(framework, SOLUTIONS))
        assert {name: given.get(name) for name in asked} == asked

    @for_each_stub
    def test_the_header_names_every_level(self, kata, framework):
        header = " ".join(stub_of(kata, framework).read_text(encoding="utf-8").split('"""')[1].split())
        for level in read_levels(kata.test_file):
            if framework != "numpy" or not level.autograd:
                assert f"{level.number} {level.title}" in header, (
                    f"level {level.number} {level.title} is not in the header"
                )
        assert f"pytest -k {kata.slug}" in header

    @for_each_stub
    def test_the_solution_uses_nothing_that_is_off_limits(self, kata, framework):
        assert not forbidden_uses(kata.implementation(framework, SOLUTIONS), kata.meta.off_limits)


class TestLevels:
    @for_each_kata
    def test_there_are_four_at_least_and_they_count_from_one(self, kata):
        numbers = [level.number for level in read_levels(kata.test_file)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 4

    @for_each_kata
    def test_a_level_is_stated_once_and_used_by_name(self, kata):
        text = kata.test_file.read_text(encoding="utf-8")
        assert not re.search(r"^@level\(", text, re.MULTILINE), "state it at the top: masks = level(3, …); then @masks"
        stated = re.findall(r"^(\w+) = level\((\d+)", text, re.MULTILINE)
        assert len({number for _, number in stated}) == len(stated)
        unused = [name for name, _ in stated if not re.search(rf"^@{name}\b", text, re.MULTILINE)]
        assert not unused

    @for_each_kata
    def test_beyond_levels_come_after_the_interview(self, kata):
        beyond = [level.beyond for level in read_levels(kata.test_file)]
        assert beyond == sorted(beyond)

    def test_hardly_a_test_asks_which_framework_it_runs_in(self):
        """Only to choose an official layer as an oracle."""
        asking = re.compile(r"\b(?:fw|gpu)\.name\b")
        lines = [f"{kata.slug}: {line.strip()}" for kata in KATAS for line in source_lines(kata) if asking.search(line)]
        assert len(lines) <= 40, "\n".join(lines)

    @for_each_kata
    def test_every_level_has_a_hint(self, kata):
        numbers = {str(level.number) for level in read_levels(kata.test_file)}
        hints = kata.meta.hints
        assert set(hints) == numbers
        assert all(isinstance(hint, str) and hint for given in hints.values() for hint in given)

    @for_each_kata
    def test_the_test_file_imports_no_framework_and_reads_no_clock(self, kata):
        tree = ast.parse(kata.test_file.read_text(encoding="utf-8"))
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        named = {getattr(node, "module", None) or node.names[0].name for node in top}
        assert not {name for name in named if name.split(".")[0] in ("torch", "tensorflow", "keras", "solutions")}
        source = kata.test_file.read_text(encoding="utf-8")
        assert not re.search(r"perf_counter|time\.time\(|monotonic\(", source)


class TestNames:
    def test_slugs_are_unique_and_no_track_is_called_like_one(self):
        slugs = [path.parent.name for path in CATALOG.root.glob("*/*/kata.toml")]
        assert len(slugs) == len(set(slugs))
        assert not set(slugs) & CATALOG.tracks.keys()

    def test_every_slug_selects_its_kata_and_no_other(self):
        """One collection of all katas: which tests there are, and which of them `-k SLUG` would take."""
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "katas"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
        assert collected == {kata.test_file.relative_to(ROOT).as_posix() for kata in KATAS}, done.stdout
        assert all(CATALOG.exactly(kata.slug) == kata for kata in KATAS)


class TestPointers:
    """What answers and hints send a reader to is there."""

    @for_each_kata
    def test_every_kata_that_is_named_exists(self, kata):
        folder = SOLUTIONS / kata.track / kata.slug
        for path in (folder / "answer.md", kata.folder / "kata.toml", folder / "mistakes.toml"):
            text = path.read_text(encoding="utf-8")
            named = re.findall(r"\b[Kk]atas?((?:[\s,]+(?:and\s+)?`\w+`)+)", text)
            missing = {slug for names in named for slug in re.findall(r"`(\w+)`", names)} - CATALOG.katas.keys()
            assert not missing, f"{path.name} sends the reader to {', '.join(sorted(missing))}"

    def test_a_pointer_to_a_missing_kata_would_be_seen(self):
        text = "first (kata `no_such_kata`), then katas `softmax`, `nor_this` and `nor_that`; Kata\n`other`."
        named = re.findall(r"\b[Kk]atas?((?:[\s,]+(?:and\s+)?`\w+`)+)", text)
        slugs = {slug for names in named for slug in re.findall(r"`(\w+)`", names)}
        assert slugs - {"softmax"} == {"no_such_kata", "nor_this", "nor_that", "other"}


class TestStyles:
    @for_each_kata
    def test_there_are_two_other_styles_at_least(self, kata):
        assert len({file.parent.name for file in style_files(kata)}) >= 2

    def test_every_style_is_one_of_a_kata(self):
        files = {file for kata in KATAS for file in style_files(kata)}
        assert files == set(STYLES.glob("*/*/*/*.py"))
        names = {file.name for file in files}
        assert names <= {kata.file_name(framework) for kata, framework in IN_FRAMEWORKS}


class TestMistakes:
    @for_each_kata
    def test_there_are_enough_in_every_framework(self, kata):
        mistakes = read_mistakes(kata)
        for framework in kata.frameworks:
            assert sum(mistake.framework == framework for mistake in mistakes) >= 3
        assert len({mistake.name for mistake in mistakes}) >= 5 or kata.meta.difficulty == 1

    @for_each_kata
    def test_each_edit_fits_and_gives_a_module_that_parses(self, kata):
        for mistake in read_mistakes(kata):
            path = kata.implementation(mistake.framework, SOLUTIONS)
            ast.parse(apply(mistake, path.read_text(encoding="utf-8"), path.name))

    @for_each_kata
    def test_each_level_named_exists_in_its_framework(self, kata):
        levels = {level.number: level for level in read_levels(kata.test_file)}
        for mistake in read_mistakes(kata):
            assert mistake.level in levels
            assert mistake.framework != "numpy" or not levels[mistake.level].autograd


class TestQuestions:
    """Every seed question stands in katas/questions/, whether a kata answers it yet or not."""

    @for_each_kata
    def test_every_claim_is_a_question_that_is_written_down(self, kata):
        assert kata.meta.answers
        assert set(kata.meta.answers) <= QUESTIONS.keys()

    @pytest.mark.parametrize(("questions", "count"), COUNTS.items())
    def test_every_question_of_a_list_is_written_down_once(self, questions, count):
        numbers = [name.rpartition("/")[2] for name in QUESTIONS if name.rpartition("/")[0] == questions]
        numbers = [number for number in numbers if number != "tips"]
        assert sorted(numbers, key=lambda number: (len(number), number)) == [str(n + 1) for n in range(count)]

    def test_there_are_270_of_the_seeds_and_nothing_else(self):
        seeds = [name for name in QUESTIONS if not name.startswith("modern/")]
        assert len(seeds) == 270 == sum(COUNTS.values()) - COUNTS["modern"] + 1
        assert len(QUESTIONS) == 270 + COUNTS["modern"]

    @pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
    def test_a_question_is_a_sentence_in_the_file_of_its_list(self, question):
        file = CATALOG.root / "questions" / f"{question.list}.toml"
        assert f'["{question.id}"]' in file.read_text(encoding="utf-8")
        assert 10 < len(question.asks) <= 260
        assert question.asks[0].isupper() or not question.asks[0].isalpha()
        assert question.asks[-1] in ".?"

    @pytest.mark.parametrize("questions", ["coding", "bank/coding", "bank/solution-coding"])
    def test_every_question_of_the_coding_lists_is_answered(self, questions):
        assert {f"{questions}/{number + 1}" for number in range(COUNTS[questions])} <= answered(CATALOG)

    @for_each_kata
    def test_every_claim_has_its_answer(self, kata):
        text = (SOLUTIONS / kata.track / kata.slug / "answer.md").read_text(encoding="utf-8")
        headings = re.findall(r"^## ([\w/-]+) · .+$", text, re.MULTILINE)
        assert sorted(headings) == sorted(kata.meta.answers)
