"""The harness of the dojo. A kata's test file needs one name from here: `level`."""

from dojo.curriculum.levels import level

__all__ = ["level"]
