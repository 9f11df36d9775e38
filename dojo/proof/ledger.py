"""The ledger: what was proven, kept in proofs/<track>/<kata>.json and believed until something changes."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dojo.curriculum.katas import Kata
from dojo.errors import DojoError
from dojo.files import ROOT, shown
from dojo.keys import Key
from dojo.proof.claims import Claim

SCHEMA = 1
PROOFS = ROOT / "proofs"


@dataclass(frozen=True)
class Entry:
    """A claim that was proven: under which key, and how its job ended."""

    own: str
    harness: str
    verdict: str
    named: bool | None = None  # of a mistake: whether the diagnosis named it

    @classmethod
    def under(cls, key: Key, verdict: str, named: bool | None) -> "Entry":
        return cls(key.own, key.harness, verdict, named)


class Ledger:
    """The entries of all katas that were asked for, read when they are needed."""

    def __init__(self, folder: Path = PROOFS):
        self.folder = folder
        self._entries: dict[Path, dict[str, Entry]] = {}
        self._changed: set[Path] = set()

    def entry(self, claim: Claim) -> Entry | None:
        return self._of(claim.kata).get(claim.id)

    def write_down(self, claim: Claim, entry: Entry) -> None:
        self._of(claim.kata)[claim.id] = entry
        self._changed.add(self.file(claim.kata))

    def strike(self, claim: Claim) -> None:
        """Believe the claim no longer."""
        if self._of(claim.kata).pop(claim.id, None):
            self._changed.add(self.file(claim.kata))

    def forget_all_but(self, claims: list[Claim]) -> None:
        """Drop entries of claims that nobody makes any more, of the kinds, katas and frameworks that these are of."""
        made = {(self.file(claim.kata), claim.id) for claim in claims}
        about = {(claim.kata, f"{claim.kind} {claim.framework} ") for claim in claims}
        for kata, prefix in about:
            entries, file = self._of(kata), self.file(kata)
            for name in [name for name in entries if name.startswith(prefix) and (file, name) not in made]:
                del entries[name]
                self._changed.add(file)

    def save(self) -> None:
        """Write the files whose entries changed, a line per claim."""
        for file in sorted(self._changed):
            file.parent.mkdir(parents=True, exist_ok=True)
            entries = self._entries[file]
            lines = [f"  {json.dumps(name)}: {_to_json(entries[name])}" for name in sorted(entries)]
            text = ",\n".join(lines)
            file.write_text(f'{{"schema": {SCHEMA}, "claims": {{\n{text}\n}}}}\n', encoding="utf-8")
        self._changed.clear()

    def file(self, kata: Kata) -> Path:
        return self.folder / kata.track / f"{kata.slug}.json"

    def _of(self, kata: Kata) -> dict[str, Entry]:
        file = self.file(kata)
        if file not in self._entries:
            self._entries[file] = _read(file)
        return self._entries[file]


def _to_json(entry: Entry) -> str:
    values = [entry.own, entry.harness, entry.verdict]
    return json.dumps(values if entry.named is None else [*values, entry.named], ensure_ascii=False)


def _read(file: Path) -> dict[str, Entry]:
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["schema"] == SCHEMA:
            return {name: Entry(*values) for name, values in content["claims"].items()}
        problem = f"it has the schema {content['schema']}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = str(error)
    raise DojoError(f"{shown(file)} cannot be read: {problem}. Delete it, and its kata is proven anew.")


def commit() -> str:
    """The hash of the commit that is checked out; '' where git knows none."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
