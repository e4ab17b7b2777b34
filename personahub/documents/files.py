"""Finding files and streaming their lines: URIs (s3://, gs://, hdfs://, ...) through pyarrow.fs, local paths plainly."""

import bz2
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import zstandard
from pyarrow import fs

from personahub.errors import InputError

# what tells that the bytes of a file are damaged, or cannot be had. FileNotFoundError is an OSError: catch it first
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, pa.ArrowInvalid)
# endings of names, whatever their case
JSONL = tuple(name + packed for name in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".bz2", ".xz", ".zst", ".zstd"))
PARQUET = (".parquet", ".parq", ".pq")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPRESSED_CHUNK = 64 * 1024
_PLAIN_CHUNK = 1024 * 1024
_WILDCARD = re.compile(r"[*?\[]")


class Place:
    """Where the files of a `documents.path` lie: the file system, found anew in each process, and the path in it."""

    def __init__(self, path: str, setting: str = "documents.path") -> None:
        self.path = path
        try:
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
                # what stands before the first wildcard is a URI by any reading; the rest is put back as it is
                wild = _WILDCARD.search(path)
                fixed = path[: wild.start()] if wild else path
                self.filesystem, self.inner = fs.FileSystem.from_uri(fixed)
                cut = fixed.endswith("/") and not self.inner.endswith("/")
                self.inner += ("/" if wild and cut else "") + path[len(fixed) :]
            else:
                self.filesystem, self.inner = fs.LocalFileSystem(), str(Path(path).absolute())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(f"{setting} {path!r} cannot be opened: {error}") from None
        self.local = isinstance(self.filesystem, fs.LocalFileSystem)

    def kind(self, path: str) -> str:
        """file, directory or missing."""
        kind = self.filesystem.get_file_info(path).type
        return {fs.FileType.File: "file", fs.FileType.Directory: "directory"}.get(kind, "missing")

    def below(self, folder: str) -> list[str]:
        """All files below a folder, sorted, with links to what is not there."""
        found = self.filesystem.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        files = [info.path for info in found if info.type == fs.FileType.File]
        return sorted(files + _dangling(folder) if self.local else files)

    def open(self, path: str) -> Any:
        """The raw bytes, a file object."""
        return Path(path).open("rb") if self.local else self.filesystem.open_input_stream(path, compression=None)

    def open_parquet(self, path: str) -> Any:
        """A file object that can seek."""
        return self.filesystem.open_input_file(path)


def kind_by_name(name: str) -> Literal["parquet", "jsonl"] | None:
    """By the ending of a file's name, in any case; None: it is none of PARQUET and JSONL."""
    lower = name.lower()
    return "parquet" if lower.endswith(PARQUET) else "jsonl" if lower.endswith(JSONL) else None


def kind_of(path: str | Path) -> Literal["parquet", "jsonl"] | None:
    """Of a local file: by its name, else by its first bytes."""
    path = Path(path)
    if kind := kind_by_name(path.name):
        return kind
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head.startswith(b"\x1f\x8b") and path.suffix.lower() == ".gz":
            with gzip.open(path) as file:
                head = file.read(64)
    except OSError:
        return None
    return "parquet" if head.startswith(b"PAR1") else "jsonl" if head.lstrip().startswith(b"{") else None


def _dangling(folder: str) -> list[str]:
    """Links below a local folder to what is not there, which file systems leave out."""
    names = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return [name for name in names if not os.path.exists(name)]


def select(path: str, setting: str = "documents.path") -> tuple[str, list[str]]:
    """The folder that names are relative to, and the files, sorted: of a folder (recursively), of a glob, or the one file.

    In a glob `*` and `?` stay within a folder, `**` crosses folders. Raises InputError, which names the `setting`
    that the path came from, if there is no such path.
    """
    place = Place(path, setting)
    kind = place.kind(place.inner)
    if kind == "file":
        return place.inner.rpartition("/")[0], [place.inner]
    if kind == "directory":
        folder = place.inner.rstrip("/")
        return folder, place.below(folder)
    wild = _WILDCARD.search(place.inner)
    if wild is None:
        raise InputError(f"{setting} {path!r} does not exist: set {setting} to a folder, a file or a glob such as 'corpus/*.gz'")
    folder = place.inner[: wild.start()].rpartition("/")[0]
    matches = re.compile(_glob(place.inner)).fullmatch
    return folder, [file for file in place.below(folder or "/") if matches(file)]


def _glob(pattern: str) -> str:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        parts.get(token) or ("[" + token[1:].replace("!", "^", 1) if re.fullmatch(r"\[[^\]]+\]", token) else re.escape(token))
        for token in tokens
        if token
    )


def lines(place: Place, path: str) -> Iterator[bytes]:
    r"""The lines of a plain, .gz, .bz2, .xz or .zst file without their \n, streamed.

    Raises FileNotFoundError, or one of DAMAGE after every whole line that stands before the damage.
    """
    rest: list[bytes] = []  # pieces of a line that is not yet whole
    for block in _blocks(place, path):
        if b"\n" not in block:
            rest.append(block)
            continue
        found = block.split(b"\n")
        if rest:
            rest.append(found[0])
            found[0] = b"".join(rest)
        last = found.pop()
        yield from found
        rest = [last] if last else []
    if rest:
        yield b"".join(rest)


def line_blocks(place: Place, path: str, size: int) -> Iterator[bytes]:
    """The lines of such a file in blocks of whole lines, each of `size` bytes or somewhat more. Raises as `lines` does."""
    held: list[bytes] = []
    length = 0
    for block in _blocks(place, path):
        held.append(block)
        length += len(block)
        end = block.rfind(b"\n") + 1 if length >= size else 0
        if end:
            held[-1] = block[:end]
            yield b"".join(held)
            held, length = [block[end:]], len(block) - end
    if last := b"".join(held):
        yield last


def _blocks(place: Place, path: str) -> Iterator[bytes]:
    blocks = _unpacked(place, path)
    head = b""
    for block in blocks:
        head += block
        if len(head) >= len(_BYTE_ORDER_MARK):
            break
    yield head.removeprefix(_BYTE_ORDER_MARK)
    yield from blocks


def _unpacked(place: Place, path: str) -> Iterator[bytes]:
    ending = path.lower()
    with place.open(path) as stream:
        if ending.endswith(".gz"):
            yield from _inflate(stream)
        elif ending.endswith(".bz2"):
            yield from _members(stream, bz2.BZ2Decompressor, _decompress)
        elif ending.endswith(".xz"):
            yield from _members(stream, lzma.LZMADecompressor, _decompress)
        elif ending.endswith((".zst", ".zstd")):
            yield from _members(stream, lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj(), _decompress)
        else:
            while block := stream.read(_PLAIN_CHUNK):
                yield block


def _inflate(stream: Any) -> Iterator[bytes]:
    return _members(stream, lambda: zlib.decompressobj(wbits=31), _decompress_or_salvage)


def _members(stream: Any, new: Callable[[], Any], decompress: Callable[[Any, bytes], Iterator[bytes]]) -> Iterator[bytes]:
    """The members of a gzip, bzip2 or xz file, or the frames of a zstandard one, one after another."""
    decoder, empty = new(), True
    while chunk := stream.read(_COMPRESSED_CHUNK):
        empty = False
        while chunk:
            if decoder.eof:
                chunk = chunk.lstrip(b"\0")  # padding
                if not chunk:
                    break
                decoder = new()
            yield from decompress(decoder, chunk)
            chunk = decoder.unused_data if decoder.eof else b""
    if empty or not decoder.eof:
        raise EOFError("the file is empty" if empty else "the file ends before its end marker")


def _decompress(decoder: Any, chunk: bytes) -> Iterator[bytes]:
    if block := decoder.decompress(chunk):
        yield block


def _decompress_or_salvage(decoder: Any, chunk: bytes) -> Iterator[bytes]:
    """The decoder gives nothing of a damaged chunk: feed it again byte by byte, up to the damage."""
    before = decoder.copy()
    try:
        block = decoder.decompress(chunk)
    except zlib.error:
        for position in range(len(chunk)):
            if block := before.decompress(chunk[position : position + 1]):
                yield block
        raise
    if block:
        yield block
