"""Texts, and what a hub stores of them, to keyed rows, these to bundles and back: Arrow batches on the executors. See lexical for the keys.

Moving a row costs Spark far more than moving its bytes, so rows travel in bundles: those of one batch whose keys begin with the same bits,
packed into a few binary values.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from personahub.config import LexicalDedup
from personahub.dedup.kernels import exact, minhash, sets
from personahub.dedup.kernels import sieve as sieves
from personahub.dedup.kernels.sets import TokenSets

MAX_TOKENS = 2000
PIECE = 32 << 20
# bytes of keys and tokens in a stored row: parquet looks at the size of what it holds every hundred rows only, and a reader holds as many
# rows as session says at once
STORED = 1 << 16
GULP = 8 << 20  # bytes of texts that are taken at once: the more rows, the fewer bundles
PART_BITS = 12  # of a key: what is compared at once is one of 4096 parts, or of fewer
REFUSED = -1  # the part of the texts that can not be compared
SET_ROW = np.uint64(1)  # the last bit of a set row's key; a comparison row's is 0


class Keyed(NamedTuple):
    """Keyed rows as arrays, ascending by key."""

    key: np.ndarray  # uint64
    level: np.ndarray  # int32
    id: pa.Array
    tokens: TokenSets  # of a set row: 64 more bits of the set's hash, as a set of one

    def take(self, rows: np.ndarray) -> "Keyed":
        return Keyed(self.key[rows], self.level[rows], self.id.take(pa.array(rows)), sets.take(self.tokens, rows))


def gulps(batches: Iterator[pa.RecordBatch], least: int | None = None) -> Iterator[pa.RecordBatch]:
    """The same rows in larger batches: of `least` bytes (GULP), or as they come if they are larger."""
    least = least or GULP
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(each.nbytes for each in held) >= least:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def keys_of(texts: pa.Array, config: LexicalDedup) -> np.ndarray:
    """uint64, ascending: the keys that texts have as keyed rows, of equal sets among them the comparison rows' once."""
    tokens, _ = sets.token_sets(texts, config.unit, config.ngram)
    fit = sets.take(tokens, np.flatnonzero(is_fit(tokens)))
    hashes = sets.set_keys(fit)[:, 0]
    _, first = np.unique(hashes, return_index=True)
    keys = np.concatenate([hashes | SET_ROW, _comparison_keys(sets.take(fit, first), config)[1] & ~SET_ROW])
    keys.sort()
    return keys


def from_texts(batch: pa.RecordBatch, config: LexicalDedup, sieve: np.ndarray | None = None) -> tuple[Iterator[Keyed], Keyed]:
    """Texts (id, level, text) -> their keyed rows, and the texts that can not be compared: with no token, or (as one token) with too many.

    Of equal sets in the batch all have a set row, and the first by (level, id) has comparison rows: the others would be compared in vain.
    The keyed rows come in several pieces if their tokens take more than PIECE bytes: long texts have many keys. With a sieve they are
    those whose keys pass it.
    """
    tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
    level, ids = batch["level"].to_numpy(zero_copy_only=False), batch["id"]
    fit = is_fit(tokens)
    refused = _refused(np.flatnonzero(~fit), tokens.sizes, level, ids)
    rows = np.flatnonzero(fit)
    hashes = sets.set_keys(tokens)
    first = rows[first_of_each(hashes[rows], level[rows], ids.take(pa.array(rows)))]
    at, compared = _comparison_keys(sets.take(tokens, first), config)

    key, text = np.concatenate([hashes[rows, 0] | SET_ROW, compared & ~SET_ROW]), np.concatenate([rows, first[at]])
    order = np.argsort(key) if sieve is None else _passing(key, sieve)
    return in_pieces(key[order], text[order], level, ids, tokens, hashes[:, 1]), refused


def to_stored(batch: pa.RecordBatch, config: LexicalDedup) -> pa.RecordBatch:
    """Texts (id, text) -> STORED: those that can be compared, with the keys of all their rows, in rows of some STORED bytes."""
    tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
    rows = np.flatnonzero(is_fit(tokens))
    columns, _ = _stored(batch["id"].take(pa.array(rows)), sets.take(tokens, rows), config)
    return pa.RecordBatch.from_pydict(columns)


def to_levelled(batch: pa.RecordBatch, config: LexicalDedup) -> pa.RecordBatch:
    """Texts (id, level, text) -> STORED with their levels (int32, packed); those that can not be compared are there, without keys."""
    tokens, _ = sets.token_sets(batch["text"], config.unit, config.ngram)
    columns, bounds = _stored(batch["id"], tokens, config)
    level = batch["level"].to_numpy(zero_copy_only=False).astype(np.int32)
    return pa.RecordBatch.from_pydict({**columns, "levels": packed(level, bounds)})


def _stored(ids: pa.Array, tokens: TokenSets, config: LexicalDedup) -> tuple[dict[str, pa.Array], np.ndarray]:
    fit = np.flatnonzero(is_fit(tokens))
    compared = sets.take(tokens, fit)
    at, keys = _comparison_keys(compared, config)
    owner = np.concatenate([fit, fit[at]])
    keys = np.concatenate([sets.set_keys(compared)[:, 0] | SET_ROW, keys & ~SET_ROW])[np.argsort(owner, kind="stable")]
    count = np.bincount(owner, minlength=len(ids))
    bounds = np.array(_pieces((count + tokens.sizes) * sets.TOKEN_BYTES, STORED), np.int64)
    columns = {
        "ids": pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), ids),
        "counts": packed(count.astype(np.int32), bounds),
        "keys": packed(keys, np.append(0, np.cumsum(count))[bounds]),
        "sizes": packed(tokens.sizes.astype(np.int32), bounds),
        "tokens": packed(tokens.values, tokens.offsets[bounds] - tokens.offsets[0]),
    }
    return columns, bounds


def from_stored(batch: pa.RecordBatch, sieve: np.ndarray | None = None) -> Iterator[Keyed]:
    """STORED -> keyed rows of level 0; with a sieve those whose keys pass."""
    count, key = unpacked(batch["counts"], np.int32), unpacked(batch["keys"], np.uint64)
    text = np.repeat(np.arange(len(count)), count)
    order = np.argsort(key) if sieve is None else _passing(key, sieve)
    met, text = np.unique(text[order], return_inverse=True)  # most texts have no key that passes
    tokens = sets.take(tokens_of(batch), met)
    ids, level = batch["ids"].flatten().take(pa.array(met)), np.zeros(len(met), np.int32)
    return in_pieces(key[order], text, level, ids, tokens, sets.set_keys(tokens)[:, 1])


def tokens_of(stored: pa.RecordBatch | pa.Table) -> TokenSets:
    """The token sets of STORED texts."""
    sizes = unpacked(stored["sizes"], np.int32)
    return TokenSets(np.append(0, np.cumsum(sizes, dtype=np.int64)), unpacked(stored["tokens"], np.uint64))


def to_bundles(keyed: Keyed, bits: int = PART_BITS, part: int | None = None) -> pa.RecordBatch:
    """One bundle for each part that has rows, told by so many bits of the key; all rows in one bundle of `part`, if it is given."""
    parts = (keyed.key >> np.uint64(64 - bits)).astype(np.int32) if part is None else np.full(len(keyed.key), part, np.int32)
    starts = np.flatnonzero(np.diff(parts, prepend=-2))
    bounds = np.append(starts, len(parts))
    ends, data = _bytes_of(keyed.id)
    columns = {
        "part": pa.array(parts[starts]),
        "key": packed(keyed.key, bounds),
        "level": packed(keyed.level, bounds),
        "size": packed(keyed.tokens.sizes.astype(np.int32), bounds),
        "tokens": packed(keyed.tokens.values, keyed.tokens.offsets[bounds] - keyed.tokens.offsets[0]),
        "id_size": packed(np.diff(ends).astype(np.int32), bounds),
        "ids": packed(data, ends[bounds]),
    }
    return pa.RecordBatch.from_pydict(columns)


def from_bundles(batches: Sequence[pa.RecordBatch], kind: pa.DataType) -> Keyed:
    """kind: of the ids."""
    bundles = pa.Table.from_batches(batches)
    key, level, size = (
        unpacked(bundles[name], each) for name, each in (("key", np.uint64), ("level", np.int32), ("size", np.int32))
    )
    tokens = TokenSets(np.append(0, np.cumsum(size)), unpacked(bundles["tokens"], np.uint64))
    ends = pa.py_buffer(np.append(0, np.cumsum(unpacked(bundles["id_size"], np.int32))).astype(np.int32))
    data = pa.py_buffer(unpacked(bundles["ids"], np.uint8))
    ids = pa.Array.from_buffers(kind, len(key), [None, ends, data] if pa.types.is_string(kind) else [None, data])
    return Keyed(key, level, ids, tokens)


def joined(pieces: Sequence[Keyed]) -> Keyed:
    """Keyed rows of all pieces, one at least, one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    key, level = (np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("key", "level"))
    return Keyed(key, level, pa.concat_arrays([piece.id for piece in pieces]), sets.stacked([piece.tokens for piece in pieces]))


def by_priority(level: np.ndarray, ids: pa.Array, group: np.ndarray | None = None) -> np.ndarray:
    """The positions of rows in the order of their group, level and id."""
    by_id = pc.sort_indices(ids).to_numpy().astype(np.int64)
    above = level.astype(np.int64)
    if group is not None:
        above += group * (above.max(initial=0) + 1)
    return by_id[np.argsort(above[by_id], kind="stable")]


def in_pieces(
    key: np.ndarray, text: np.ndarray, level: np.ndarray, ids: pa.Array, tokens: TokenSets, hashes: np.ndarray
) -> Iterator[Keyed]:
    """Rows of texts, by their keys, which ascend; level, ids, tokens and hashes (64 more bits of the set's) are those of all texts."""
    stacked = TokenSets(  # the hashes, each a set of one, then the tokens
        np.concatenate([np.arange(len(tokens)), tokens.offsets + len(tokens)]), np.concatenate([hashes, tokens.values])
    )
    place = np.where(key & SET_ROW, text, text + len(tokens))
    for begin, end in pairwise(_pieces(stacked.sizes[place] * sets.TOKEN_BYTES, PIECE)):
        mine = text[begin:end]
        yield Keyed(key[begin:end], level[mine], ids.take(pa.array(mine)), sets.take(stacked, place[begin:end]))


def _comparison_keys(tokens: TokenSets, config: LexicalDedup) -> tuple[np.ndarray, np.ndarray]:
    if config.method == "exact":
        return exact.exact_keys(tokens, config.threshold)
    bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    signatures = minhash.signatures(tokens, config.num_perm, config.seed)
    return np.repeat(np.arange(len(tokens)), bands), minhash.band_keys(signatures, bands, rows)


def is_fit(tokens: TokenSets) -> np.ndarray:
    return (tokens.sizes > 0) & (tokens.sizes <= MAX_TOKENS)


def _passing(key: np.ndarray, sieve: np.ndarray) -> np.ndarray:
    """The positions of the keys that pass, in the order of the keys."""
    passing = np.flatnonzero(sieves.passes(sieve, key))
    return passing[np.argsort(key[passing])]


def _pieces(sizes: np.ndarray, most: int) -> list[int]:
    """Where to cut rows of so many bytes into pieces of some `most` bytes, from 0 to their number."""
    pieces = (np.cumsum(sizes) - 1) // most
    return [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(sizes)]


def first_of_each(hashes: np.ndarray, level: np.ndarray, ids: pa.Array) -> np.ndarray:
    """The rows whose hashes no row before them in priority has."""
    order = np.argsort(hashes[:, 0])
    same = np.zeros(len(order) + 1, np.bool_)  # as the one before
    same[1:-1] = np.diff(hashes[order, 0]) == 0
    repeated = order[same[:-1] | same[1:]]
    if not len(repeated):
        return np.arange(len(hashes))
    repeated = repeated[by_priority(level[repeated], ids.take(pa.array(repeated)))]
    _, first = np.unique(hashes[repeated], axis=0, return_index=True)
    chosen = np.ones(len(hashes), np.bool_)
    chosen[repeated] = False
    chosen[repeated[first]] = True
    return np.flatnonzero(chosen)


def _refused(rows: np.ndarray, sizes: np.ndarray, level: np.ndarray, ids: pa.Array) -> Keyed:
    many = np.minimum(sizes[rows], 1)
    tokens = TokenSets(np.append(0, np.cumsum(many)), np.zeros(many.sum(), np.uint64))
    return Keyed(np.zeros(len(rows), np.uint64), level[rows], ids.take(pa.array(rows)), tokens)


def _bytes_of(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of ids, strings or integers, and where in them each begins, and the last ends. (A list of ids Spark moves one by one.)"""
    if pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type):
        ends, data = sets.buffers(ids)
        return ends - ends[0], data[ends[0] : ends[-1]]
    values = ids.to_numpy()
    return np.arange(len(values) + 1) * values.itemsize, values.view(np.uint8)


def packed(values: np.ndarray, bounds: np.ndarray) -> pa.Array:
    """binary: values[bounds[i]:bounds[i + 1]] as bytes."""
    ends = pa.py_buffer((bounds * values.itemsize).astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, ends, pa.py_buffer(np.ascontiguousarray(values))])


def unpacked(column: pa.Array | pa.ChunkedArray, kind: type) -> np.ndarray:
    """All values of a column of `packed` ones, one after the other."""
    data = [np.empty(0, np.uint8)]
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if len(chunk):
            ends = np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            data.append(np.frombuffer(chunk.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]])
    return np.concatenate(data).view(kind)
