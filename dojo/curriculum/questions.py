"""The interview questions of the published lists, in this project's own words: katas/questions/<list>.toml."""

from dataclasses import dataclass

from dojo.curriculum.katas import Catalog
from dojo.files import read_table, read_toml, shown


@dataclass(frozen=True)
class Question:
    """One question. Its id begins with the name of its list; katas claim it by id in kata.toml."""

    id: str
    asks: str

    @property
    def list(self) -> str:
        return self.id.split("/")[0]


def read_questions(catalog: Catalog) -> dict[str, Question]:
    """Id to question, list by list."""
    found = {}
    for path in sorted((catalog.root / "questions").glob("*.toml")):
        for name, table in read_toml(path).items():
            found[name] = read_table(Question, {"id": name} | table, f"{shown(path)}: {name}")
    return found


def answered(catalog: Catalog) -> set[str]:
    """The ids that some kata claims."""
    return {name for kata in catalog.katas.values() for name in kata.meta.answers}
