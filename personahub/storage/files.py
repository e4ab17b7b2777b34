"""A file that only one of several processes makes."""

import errno
import os
import uuid
from pathlib import Path

# what file systems without hard links say of one, as those that are mounted by FUSE over an object store or another system's folder
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def create_once(path: Path, content: str) -> bool:
    """Make the file, whole; False where it is there already. Raises OSError.

    It is written beside its place, then linked: no process ever reads half of it, and only one link succeeds. Where the file system has
    no hard links it is made in its place, so that for a moment it may be read empty.
    """
    mine = path.with_name(f"_{uuid.uuid4().hex}.tmp")
    mine.write_text(content, encoding="utf-8")
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_in_place(path, content)
    finally:
        mine.unlink(missing_ok=True)
    return True


def _create_in_place(path: Path, content: str) -> bool:
    try:
        file = open(path, "x", encoding="utf-8")  # noqa: SIM115  one that was there is not ours to remove
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True
