"""dojo.toml: what a learner chooses once."""

from dataclasses import dataclass
from pathlib import Path

from dojo.catalog import FRAMEWORKS, ROOT, read_toml, shown
from dojo.errors import DojoError, did_you_mean


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
    content = read_toml(path)
    known = Settings.__dataclass_fields__
    for key, value in content.items():
        if key not in known:
            raise DojoError(f"{shown(path)} has an unknown key {key!r}.{did_you_mean(key, known)} Remove or rename it.")
        if key == "frameworks":
            _check_frameworks(path, value)
        elif key == "diagnosis":
            if not isinstance(value, bool):
                raise DojoError(f"{shown(path)}: diagnosis must be true or false, not {value!r}. Correct it.")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise DojoError(f"{shown(path)}: {key} must be a positive number, not {value!r}. Correct it.")
    return Settings(**{key: tuple(value) if key == "frameworks" else value for key, value in content.items()})


def _check_frameworks(path: Path, names: object) -> None:
    if not isinstance(names, list) or not names:
        raise DojoError(f'{shown(path)}: frameworks must be a list, such as ["numpy", "torch"]. Correct it.')
    for name in names:
        if name not in FRAMEWORKS:
            hint = did_you_mean(str(name), FRAMEWORKS) or f" Choose from {', '.join(FRAMEWORKS)}."
            raise DojoError(f"{shown(path)}: there is no framework {name!r}.{hint}")
