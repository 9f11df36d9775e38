"""A project of its own for each test of the harness: a copy of dojo, and katas made for the occasion."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

STUB = '''
def double(x):
    """Twice x."""
    raise NotImplementedError("double is yours to write")
'''

RIGHT = """
def double(x):
    return x + x
"""

TESTS = """
import numpy as np
import pytest
from dojo import level


@level(1, "shape")
@pytest.mark.parametrize("size", [1, 3])
def test_the_shape_is_kept(impl, fw, rng, size):
    x = rng.standard_normal(size)
    fw.check_shape(impl.double(fw.array(x)), x.shape)


@level(2, "values", points=3)
def test_every_entry_is_doubled(impl, fw, rng):
    x = rng.standard_normal((2, 3))
    fw.close(impl.double(fw.array(x)), 2 * x, of="double")


@level(3, "gradients", points=2, autograd=True)
def test_the_slope_is_two(impl, fw, rng):
    fw.check_gradients(impl.double, lambda x: 2 * x, [rng.standard_normal(3)], names=["x"])


@level(4, "large")
def test_large_entries(impl, fw):
    fw.close(impl.double(fw.array([1e30])), [2e30])
"""


class Project:
    """A repository like this one in a temporary folder."""

    def __init__(self, root: Path):
        self.root = root
        shutil.copytree(ROOT / "dojo", root / "dojo", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("conftest.py", "pyproject.toml", "dojo.toml"):
            shutil.copy(ROOT / name, root / name)
        self.write("katas/tracks.toml", '[basics]\ntitle = "Basics"\n')

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def kata(self, slug: str, tests: str = TESTS, meta: str = "", **stubs: str) -> Path:
        """A kata katas/basics/<slug>; its stubs by framework."""
        folder = f"katas/basics/{slug}"
        head = f'title = "The {slug}"\ndifficulty = 1\nminutes = 5\nanswers = []\n'
        self.write(f"{folder}/kata.toml", head + textwrap.dedent(meta))
        self.write(f"{folder}/test_{slug}.py", tests)
        for framework, stub in stubs.items():
            self.write(f"{folder}/{slug}_{framework}.py", stub)
        return self.root / folder

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess:
        """Run Python here with these arguments."""
        environment = os.environ | {"PYTHONPATH": "", "COLUMNS": "120", "OMP_NUM_THREADS": "1"} | env
        for name in ("PYTEST_ADDOPTS", "PYTHONUNBUFFERED"):
            environment.pop(name, None)
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )

    def pytest(self, *args: str) -> subprocess.CompletedProcess:
        return self.run("-m", "pytest", *args)

    def graded(self, *args: str) -> dict[tuple[str, str], dict]:
        """(kata, framework) to its result, from `python -m dojo check --report`."""
        report = self.root / "report.json"
        done = self.run("-m", "dojo", "check", f"--report={report}", *args)
        assert report.exists(), done.stdout + done.stderr
        return {(kata["kata"], kata["framework"]): kata for kata in json.loads(report.read_text())["katas"]}


@pytest.fixture(scope="session")
def many_katas():
    """many_katas(project, tracks, katas): so many tracks of so many katas, in NumPy and PyTorch, nothing started."""

    def many_katas(project: Project, tracks: int, katas: int) -> None:
        names = [f"track_{number:02}" for number in range(tracks)]
        project.write("katas/tracks.toml", "".join(f'[{name}]\ntitle = "All of {name}"\n' for name in names))
        for number in range(tracks * katas):
            slug = f"kata_{number:03}"
            folder = f"katas/{names[number // katas]}/{slug}"
            meta = f'title = "The kata {number}"\ndifficulty = 2\nminutes = 35\nanswers = []\n'
            files = {"kata.toml": meta, f"test_{slug}.py": TESTS, f"{slug}_numpy.py": STUB, f"{slug}_torch.py": STUB}
            for name, text in files.items():
                project.write(f"{folder}/{name}", text)

    return many_katas


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for all tests of a module."""
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def stub() -> str:
    return STUB


@pytest.fixture(scope="session")
def right() -> str:
    return RIGHT


@pytest.fixture(scope="session")
def doubling_tests() -> str:
    return TESTS
