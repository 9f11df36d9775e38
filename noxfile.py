"""The commands of the dojo. `nox -s check` is where everybody begins.

All sessions share one environment, .venv: the first one makes it, and it is looked at again only when the
requirements change.
"""

import hashlib
import json
import os
import shutil
import sys
import time
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["check"]
nox.needs_version = ">=2024.4.15"

ROOT = Path(__file__).parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "dojo-stamp"
VERSIONS = ("3.13", "3.12", "3.11")  # newer ones lack TensorFlow, older ones Keras


@nox.session
def check(session: nox.Session) -> None:
    """Grade what you have written: the board, or the verdict on the katas named."""
    dojo(session, "check")


@nox.session
def watch(session: nox.Session) -> None:
    """Check each kata when you save it, at once."""
    dojo(session, "watch")


@nox.session
def next(session: nox.Session) -> None:
    """Say which kata to do next, and why."""
    dojo(session, "next")


@nox.session
def hint(session: nox.Session) -> None:
    """Show the next hint for the level where you stand: nox -s hint -- KATA."""
    dojo(session, "hint")


@nox.session
def show(session: nox.Session) -> None:
    """Show a kata, and its solution once you pass: nox -s show -- KATA."""
    dojo(session, "show")


@nox.session
def reset(session: nox.Session) -> None:
    """Put a stub back as it came, keeping what you wrote: nox -s reset -- KATA."""
    dojo(session, "reset")


@nox.session
def report(session: nox.Session) -> None:
    """Write your progress as an HTML page."""
    dojo(session, "report")


@nox.session
def interview(session: nox.Session) -> None:
    """A mock interview: an unsolved kata, a clock and a scorecard."""
    dojo(session, "interview")


@nox.session
def solutions(session: nox.Session) -> None:
    """Run every level of every kata on the reference solutions, in every framework."""
    dojo(session, "solutions")


@nox.session
def mistakes(session: nox.Session) -> None:
    """Prove that the tests refuse every known mistake, at its level, and that the diagnosis names it."""
    dojo(session, "mistakes")


@nox.session
def mutants(session: nox.Session) -> None:
    """Run the tests on automatic mutants of the solutions, and list the survivors."""
    dojo(session, "mutants")


@nox.session
def tests(session: nox.Session) -> None:
    """Test the harness and the curriculum."""
    prepare(session)
    session.run(
        PYTHON,
        "-m",
        "pytest",
        "-p",
        "xdist",
        "-n",
        "auto",
        "--dist",
        "loadfile",
        "-m",
        "not proof",
        "tests",
        *session.posargs,
        external=True,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    prepare(session)
    session.run(PYTHON, "-m", "ruff", "check", *session.posargs, external=True)
    session.run(PYTHON, "-m", "ruff", "format", "--check", *session.posargs, external=True)


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the README's pictures from the program itself."""
    dojo(session, "pictures")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what a check costs, side by side with the bare import."""
    dojo(session, "bench")


def dojo(session: nox.Session, verb: str) -> None:
    """Run a verb of the command line with the arguments after `--`."""
    begun = time.perf_counter()
    prepare(session)
    seconds = str(time.perf_counter() - begun)  # for bench
    session.run(PYTHON, "-m", "dojo", verb, *session.posargs, external=True, env={"DOJO_PREPARE_SECONDS": seconds})


def prepare(session: nox.Session) -> None:
    """Make the environment, unless it is made already from the same requirements."""
    requirements = wanted()
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    stamp = hashlib.sha256(json.dumps([requirements, constraints]).encode()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        return
    session.log("making the environment .venv: this takes a few minutes, once")
    if not PYTHON.exists():
        session.run(find_python(session), "-m", "venv", str(VENV), external=True)
    session.run(
        PYTHON,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "-c",
        "constraints.txt",
        *requirements,
        external=True,
    )
    STAMP.write_text(stamp)


def wanted() -> list[str]:
    """The requirements of pyproject.toml for the frameworks that dojo.toml names, with the contributors' tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    frameworks = tomllib.loads((ROOT / "dojo.toml").read_text(encoding="utf-8"))["frameworks"]
    extras = [name for name in ("torch", "tensorflow") if name in frameworks] + ["contribute"]
    return project["dependencies"] + [line for name in extras for line in project["optional-dependencies"][name]]


def find_python(session: nox.Session) -> str:
    """A Python that both frameworks support: the one that runs nox, or another on the path."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" in VERSIONS:
        return sys.executable
    for version in VERSIONS:
        if path := shutil.which(f"python{version}"):
            return path
    session.error(
        f"The dojo needs Python 3.11, 3.12 or 3.13, and this is {sys.version.split()[0]}. Install one of them."
    )
