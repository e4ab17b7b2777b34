"""Texts as sets of 64-bit token hashes, in compressed rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from personahub import text
from personahub.dedup.kernels import compiled, unicode_words
from personahub.dedup.kernels.tokenize import FOLD, hash_runs, mix, tokenise

TOKEN_BYTES = 8
_SALTS = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], np.uint64)


@dataclass(frozen=True)
class TokenSets:
    """Set i is values[offsets[i]:offsets[i + 1]], ascending and without repeats. offsets int64 (n + 1), values uint64.

    Both arrays are read-only, wherever they come from: kernels then see one type, and numba compiles each of them once.
    """

    offsets: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", _frozen(self.offsets, np.int64))
        object.__setattr__(self, "values", _frozen(self.values, np.uint64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.offsets)


def token_sets(texts: pa.Array | pa.ChunkedArray, unit: str = "word", ngram: int = 1) -> TokenSets:
    """Set i is the hashes of `text.tokens(texts[i], unit, ngram)`; null = empty text. texts: string or large_string.

    Words are found by compiled kernels: one for ASCII, and one for any script, to which Python prepares the texts that normalisation may
    change. Runs of words or of characters are made by that function itself: some twenty times slower.
    """
    if ngram < 1:
        raise ValueError(f"ngram is {ngram}, yet a token is a run of one {unit} at least")
    texts = _flat(texts)
    if unit != "word" or ngram > 1:
        return _tokenised(texts.to_pylist(), unit, ngram)
    return _with_those_left(tokenise(*_data(texts), FOLD), texts, _in_any_script)


def _in_any_script(texts: pa.Array) -> TokenSets:
    return _with_those_left(unicode_words.tokenise(*_data(texts), unicode_words.classes()), texts, _unpointed)


def _unpointed(texts: pa.Array) -> TokenSets:
    texts = pa.array(map(text.unpointed, texts.to_pylist()), pa.large_string())
    return TokenSets(*unicode_words.tokenise(*_data(texts), unicode_words.plain_classes())[:2])


def _data(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    offsets, data = buffers(texts)
    return data, offsets


def _with_those_left(
    found: tuple[np.ndarray, np.ndarray, np.ndarray], texts: pa.Array, others: Callable[[pa.Array], TokenSets]
) -> TokenSets:
    """found: offsets and values of sets, and which texts the kernel has left to `others`."""
    sets, left = TokenSets(*found[:2]), np.flatnonzero(found[2])
    if not len(left):
        return sets
    order = np.arange(len(sets))
    order[left] = len(sets) + np.arange(len(left))
    return take(stacked([sets, others(texts.take(pa.array(left)))]), order)


def hash_tokens(tokens: Sequence[bytes]) -> np.ndarray:
    """uint64, one for each token (UTF-8): FNV-1a over its bytes, then the finaliser of MurmurHash3."""
    ends = np.cumsum([len(token) for token in tokens], dtype=np.int64)
    return hash_runs(_bytes(b"".join(tokens)), ends)


def token_hash32(token: bytes) -> int:
    """The low 32 bits of a token's hash: what MinHash permutes (`hashfunc` of datasketch)."""
    return int(hash_tokens([token])[0]) & 0xFFFFFFFF


def set_keys(sets: TokenSets) -> np.ndarray:
    """uint64 (n, 2): two independent hashes of each set as a whole; the empty set has its own, too."""
    return _set_keys(sets.offsets, sets.values, _SALTS)


def take(sets: TokenSets, indices: np.ndarray) -> TokenSets:
    """The sets of these rows, in this order, repeats allowed. IndexError for a row that is not there."""
    indices = np.asarray(indices, np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(sets):
        raise IndexError(f"rows {indices.min()} to {indices.max()} asked of {len(sets)} sets")
    return TokenSets(*_take(sets.offsets, sets.values, indices))


def stacked(several: Sequence[TokenSets]) -> TokenSets:
    """The sets of all, one after the other."""
    sizes = np.concatenate([np.zeros(1, np.int64), *(each.sizes for each in several)])
    return TokenSets(np.cumsum(sizes), np.concatenate([each.values[each.offsets[0] : each.offsets[-1]] for each in several]))


def _frozen(array: np.ndarray, kind: type) -> np.ndarray:
    view: np.ndarray = np.ascontiguousarray(array, kind).view()
    view.flags.writeable = False
    return view


def _bytes(buffer: bytes | pa.Buffer | None) -> np.ndarray:
    """uint8 over the bytes of a buffer, read-only."""
    return _frozen(np.frombuffer(buffer, np.uint8) if buffer else np.empty(0, np.uint8), np.uint8)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The texts as one array without nulls: the bytes behind a null may be anything."""
    if column.type not in (pa.string(), pa.large_string()) and not pa.types.is_null(column.type):
        raise TypeError(f"token sets are made from columns of string or large_string, not of {column.type}")
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.cast(pa.large_string()).combine_chunks()
    if column.null_count:
        column = column.cast(pa.large_string()).fill_null(pa.scalar("", pa.large_string()))
    return column


def buffers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (int64, n + 1) into the data (uint8) of a variable-width array, a slice of another one included."""
    if not len(column):
        return np.zeros(1, np.int64), _bytes(None)
    _, offsets, data = column.buffers()
    wide = column.type == pa.large_string()
    ends = np.frombuffer(offsets, np.int64 if wide else np.int32)[column.offset : column.offset + len(column) + 1]
    return ends.astype(np.int64), _bytes(data)


def _tokenised(texts: Sequence[str], unit: str, ngram: int) -> TokenSets:
    tokens = [text.tokens(one, unit, ngram) for one in texts]
    sizes = np.array([len(one) for one in tokens], np.int64)
    hashes = hash_tokens([token.encode() for one in tokens for token in one])
    order = np.lexsort((hashes, np.repeat(np.arange(len(texts)), sizes)))
    return TokenSets(np.append(0, np.cumsum(sizes)), hashes[order])


@compiled
def _set_keys(offsets, values, salts):
    keys = np.empty((len(offsets) - 1, len(salts)), np.uint64)
    for row in range(len(offsets) - 1):
        for key in range(len(salts)):
            total = salts[key] + np.uint64(offsets[row + 1] - offsets[row])
            for at in range(offsets[row], offsets[row + 1]):
                total += mix(values[at] ^ salts[key])
            keys[row, key] = mix(total)
    return keys


@compiled
def _take(offsets, values, indices):
    rows = np.zeros(len(indices) + 1, np.int64)
    for at in range(len(indices)):
        rows[at + 1] = rows[at] + offsets[indices[at] + 1] - offsets[indices[at]]
    taken = np.empty(rows[-1], np.uint64)
    for at in range(len(indices)):
        start = offsets[indices[at]]
        for i in range(rows[at + 1] - rows[at]):
            taken[rows[at] + i] = values[start + i]
    return rows, taken
