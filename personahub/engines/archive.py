"""The package as one zip, for executors that have its dependencies but not the package: `spark-submit --py-files`, Spark Connect.

    python -m personahub.engines.archive dist/personahub.zip        (what `make zip` does)

A zip and not a wheel: Spark puts both on the executors' path, but unpacks neither, and Python imports only from a zip.
"""

import sys
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

PACKAGE = "personahub"
_TIME = (1980, 1, 1, 0, 0, 0)  # the same files are the same bytes: Connect takes a file once, and refuses another one of its name


def write_zip(path: str | Path) -> Path:
    """All modules, prompts and texts of the installed package, which may itself be in a zip, to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in _files(resources.files(PACKAGE), PACKAGE):
            archive.writestr(zipfile.ZipInfo(name, _TIME), file.read_bytes(), zipfile.ZIP_DEFLATED)
    return path


def _files(folder: Any, name: str) -> Iterator[tuple[str, Any]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_file():
            yield f"{name}/{entry.name}", entry
        elif entry.name != "__pycache__":
            yield from _files(entry, f"{name}/{entry.name}")


if __name__ == "__main__":
    write_zip(sys.argv[1])
