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
from dojo.curriculum.stubs import is_started
from dojo.files import ROOT, read_toml

CATALOG = Catalog()
KATAS = list(CATALOG.katas.values())
SOLUTIONS = ROOT / "solutions"
QUESTIONS = read_toml(ROOT / "katas" / "questions.toml")
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
    def test_every_test_of_a_level_says_the_same_of_it(self, kata):
        said = {}
        for node in ast.walk(ast.parse(kata.test_file.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                text = ast.unparse(decorator)
                if text.startswith("level("):
                    number = ast.literal_eval(decorator.args[0])
                    said.setdefault(number, set()).add(text.replace(", autograd=True", ""))
        for texts in said.values():
            assert len(texts) == 1, texts

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
    def test_no_slug_is_part_of_another_or_of_a_track(self):
        for slug in CATALOG.katas:
            others = [other for other in [*CATALOG.katas, *CATALOG.tracks] if other != slug]
            assert not [other for other in others if slug in other], slug

    @for_each_kata
    def test_k_selects_this_kata_and_no_other(self, kata):
        """Without the short cut for exact slugs: the folder is named, so pytest matches names alone."""
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-k", kata.slug, "katas"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        collected = [line for line in done.stdout.splitlines() if "::" in line]
        assert collected, done.stdout
        assert {line.split("::")[0].split("/")[-1] for line in collected} == {f"test_{kata.slug}.py"}


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
    @for_each_kata
    def test_every_claim_is_a_question_that_is_written_down(self, kata):
        assert kata.meta.answers
        assert set(kata.meta.answers) <= QUESTIONS.keys()

    def test_every_question_is_claimed_and_asked_in_words(self):
        claimed = {answer for kata in KATAS for answer in kata.meta.answers}
        assert QUESTIONS.keys() == claimed
        assert all(len(entry["asks"]) > 10 and entry.keys() == {"asks"} for entry in QUESTIONS.values())

    @pytest.mark.parametrize(("questions", "count"), [("coding", 7), ("bank/coding", 23), ("bank/solution-coding", 4)])
    def test_every_question_of_the_coding_lists_is_answered(self, questions, count):
        wanted = {f"{questions}/{number}" for number in range(1, count + 1)}
        claimed = {answer for kata in KATAS for answer in kata.meta.answers}
        assert wanted == {question for question in QUESTIONS if question.rpartition("/")[0] == questions}
        assert wanted <= claimed

    @for_each_kata
    def test_every_claim_has_its_answer(self, kata):
        text = (SOLUTIONS / kata.track / kata.slug / "answer.md").read_text(encoding="utf-8")
        headings = re.findall(r"^## ([\w/-]+) · .+$", text, re.MULTILINE)
        assert sorted(headings) == sorted(kata.meta.answers)
