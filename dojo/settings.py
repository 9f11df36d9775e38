"""dojo.toml: what a learner chooses once."""

from dataclasses import dataclass
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS, check_framework
from dojo.errors import DojoError
from dojo.files import ROOT, read_table, read_toml, shown


@dataclass(frozen=True)
class Settings:
    frameworks: tuple[str, ...] = FRAMEWORKS
    test_seconds: float = 20  # one test may take this long
    memory_gib: float = 4  # and take this much memory on top of its framework's own
    output_mib: float = 10  # and print this much
    diagnosis: bool = True  # look for a known mistake behind a failure


def read_settings(path: Path = ROOT / "dojo.toml") -> Settings:
    """The settings in `path`; the defaults where there is no such file."""
    if not path.exists():
        return Settings()
    settings = read_table(Settings, read_toml(path), shown(path))
    if not settings.frameworks:
        raise DojoError(f'{shown(path)}: frameworks must name one at least, such as ["numpy", "torch"]. Correct it.')
    for name in settings.frameworks:
        check_framework(name, f"{shown(path)}: ")
    for key in ("test_seconds", "memory_gib", "output_mib"):
        if getattr(settings, key) <= 0:
            raise DojoError(f"{shown(path)}: {key} must be positive, not {getattr(settings, key)!r}. Correct it.")
    return settings
