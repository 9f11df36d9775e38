"""Running a file, that of an implementation or of a test, as a module of its own."""

import sys
from pathlib import Path
from types import ModuleType

from dojo.curriculum.stubs import read_source


def load(path: Path) -> ModuleType:
    """Run the file as a module of its own.

    The file is compiled from its source every time: two saves of equal size within a second would otherwise
    run the bytecode of the first. The module is known to `sys.modules` under the file's stem, so that worker
    processes can import by that name what they are sent.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[path.stem] = module
    exec(compile(read_source(path), str(path), "exec"), module.__dict__)
    return module
