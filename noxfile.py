"""The commands of the dojo. `nox -s check` is where everybody begins.

All sessions share one environment, .venv: the first one makes it, and it is looked at again only when the
requirements change.
"""

import hashlib
import json
import os
import runpy
import shutil
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["check"]
nox.needs_version = ">=2024.4.15"

ROOT = Path(__file__).parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "dojo-stamp"
VERSIONS = ("3.14", "3.13", "3.12", "3.11")
NOT_YET = {"tensorflow": ("3.14",)}  # versions that a framework has no wheel for

# nox runs outside of .venv, so nothing of dojo can be imported here: this file needs only the standard library.
_verbs = runpy.run_path(str(ROOT / "dojo" / "verbs.py"))
VERBS, sentence, first_line = _verbs["VERBS"], _verbs["sentence"], _verbs["first_line"]


def add_session(name: str, purpose: str, *module: str) -> None:
    """A session that runs a module of this repository with the arguments after `--`."""

    def run(session: nox.Session) -> None:
        before = time.perf_counter()
        prepare(session)
        seconds = str(time.perf_counter() - before)  # for bench
        session.run(PYTHON, "-m", *module, *session.posargs, external=True, env={"DOJO_PREPARE_SECONDS": seconds})

    run.__doc__ = purpose
    nox.session(run, name=name)


for verb in VERBS:
    add_session(verb, sentence(verb), "dojo", verb)
for tool in ("bench", "pictures"):
    add_session(tool, first_line(ROOT / "tools" / f"{tool}.py"), f"tools.{tool}")


@nox.session
def tests(session: nox.Session) -> None:
    """Test the harness and the curriculum."""
    prepare(session)
    workers = ("-p", "xdist", "-n", "auto", "--dist", "loadfile")
    session.run(PYTHON, "-m", "pytest", *workers, "-m", "not proof", "tests", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    prepare(session)
    session.run(PYTHON, "-m", "ruff", "check", *session.posargs, external=True)
    session.run(PYTHON, "-m", "ruff", "format", "--check", *session.posargs, external=True)


def prepare(session: nox.Session) -> None:
    """Make the environment, unless it is made already from the same requirements."""
    project = read_toml(session, "pyproject.toml")["project"]
    frameworks = read_toml(session, "dojo.toml").get("frameworks", list(project["optional-dependencies"]))
    if not isinstance(frameworks, list):
        session.error("dojo.toml: frameworks must be a list of names. Correct it.")
    requirements = wanted(project, frameworks)
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    stamp = hashlib.sha256(json.dumps([requirements, constraints]).encode()).hexdigest()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        return
    session.log("making the environment .venv: this takes a few minutes, once")
    if not PYTHON.exists():
        python = find_python(sys.version_info, frameworks, shutil.which)
        session.run(python or session.error(no_python(frameworks)), "-m", "venv", str(VENV), external=True)
    elif (version := venv_version()) not in supported(frameworks):
        session.error(f"The environment .venv has Python {version}. {no_python(frameworks)} Then delete .venv.")
    quiet = ("--disable-pip-version-check", "-c", "constraints.txt")
    session.run(PYTHON, "-m", "pip", "install", *quiet, *requirements, external=True)
    STAMP.write_text(stamp)


def read_toml(session: nox.Session, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        session.error(f"{name} cannot be read: {error}")


def wanted(project: dict[str, Any], frameworks: list[str]) -> list[str]:
    """The requirements for the frameworks that dojo.toml names, with the contributors' tools.

    A framework without an extra of its own is among the dependencies; a misspelt one is for dojo to refuse.
    """
    extras = project["optional-dependencies"]
    chosen = [name for name in extras if name in frameworks or name == "contribute"]
    return project["dependencies"] + [line for name in chosen for line in extras[name]]


def supported(frameworks: list[str]) -> list[str]:
    """The versions of Python that all these frameworks have wheels for, newest first."""
    return [version for version in VERSIONS if not any(version in NOT_YET.get(name, ()) for name in frameworks)]


def find_python(running: tuple, frameworks: list[str], which: Callable[[str], str | None]) -> str | None:
    """A Python that the frameworks support: the one that runs nox, else the newest on the path, else None."""
    versions = supported(frameworks)
    if f"{running[0]}.{running[1]}" in versions:
        return sys.executable
    return next((path for version in versions if (path := which(f"python{version}"))), None)


def no_python(frameworks: list[str]) -> str:
    """What to do where there is no Python to use."""
    *others, oldest = supported(frameworks)
    needed = f"With {', '.join(frameworks)} the dojo needs Python {', '.join(others)} or {oldest}: install one of them."
    blocking = [name for name in frameworks if name in NOT_YET]
    return f"{needed} Without {' and '.join(blocking)} in dojo.toml, a newer one will do." if blocking else needed


def venv_version() -> str:
    """The version of Python, as in 3.13, that .venv was made with."""
    lines = (VENV / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    found = next(line.partition("=")[2].strip() for line in lines if line.startswith("version"))
    return ".".join(found.split(".")[:2])
