"""Texts to keyed rows: the blocking keys under which rows are compared. See jaccard_join for the rows."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from personahub.config import LexicalDedup
from personahub.dedup.arrow_columns import by_priority, cuts
from personahub.dedup.kernels import bloom_filter, minhash, partenum, sets
from personahub.dedup.kernels.sets import TokenSets

MAX_TOKENS = 2000
PIECE_BYTES = 32 << 20  # of tokens
SET_ROW = np.uint64(1)  # the last bit of a set row's key; that of a comparison row is 0


class Keyed(NamedTuple):
    """Keyed rows as arrays, ascending by key. tokens: for set rows, a one-element set of the second half of the set's 128-bit hash."""

    key: np.ndarray  # uint64
    level: np.ndarray  # int32
    id: pa.Array
    tokens: TokenSets

    def take(self, rows: np.ndarray) -> "Keyed":
        return Keyed(self.key[rows], self.level[rows], self.id.take(pa.array(rows)), sets.take(self.tokens, rows))


class KeyedTexts(NamedTuple):
    """Texts, and the keys of their rows. Texts that can not be compared, with no token or with too many, have no keys. Of equal sets only
    the first by (level, id) has comparison rows: the others would be compared in vain.
    """

    key: np.ndarray  # uint64
    text: np.ndarray  # int: the position of the text that has the key
    level: np.ndarray  # int32
    ids: pa.Array
    tokens: TokenSets


def keys_of(texts: pa.Array, config: LexicalDedup) -> np.ndarray:
    """uint64, ascending: the keys of the keyed rows of texts; of equal sets the comparison rows' keys once."""
    tokens = sets.token_sets(texts, config.unit, config.ngram)
    fit = sets.take(tokens, np.flatnonzero(is_fit(tokens)))
    hashes = sets.set_keys(fit)[:, 0]
    _, first = np.unique(hashes, return_index=True)
    keys = np.concatenate([hashes | SET_ROW, _comparison_keys(sets.take(fit, first), config)[1] & ~SET_ROW])
    keys.sort()
    return keys


def of_texts(batch: pa.RecordBatch, config: LexicalDedup) -> KeyedTexts:
    """batch: id, level, text."""
    tokens = sets.token_sets(batch["text"], config.unit, config.ngram)
    level, ids = batch["level"].to_numpy(zero_copy_only=False), batch["id"]
    rows = np.flatnonzero(is_fit(tokens))
    hashes = sets.set_keys(sets.take(tokens, rows))
    first = rows[_first_of_each(hashes, level[rows], ids.take(pa.array(rows)))]
    at, compared = _comparison_keys(sets.take(tokens, first), config)
    key, text = np.concatenate([hashes[:, 0] | SET_ROW, compared & ~SET_ROW]), np.concatenate([rows, first[at]])
    return KeyedTexts(key, text, level, ids, tokens)


def keyed_rows(texts: KeyedTexts, bloom: np.ndarray | None = None) -> Iterator[Keyed]:
    """Ascending by key, those whose keys pass the filter; in pieces of PIECE_BYTES of tokens: long texts have many keys."""
    rows = np.arange(len(texts.key)) if bloom is None else np.flatnonzero(bloom_filter.passes(bloom, texts.key))
    rows = rows[np.argsort(texts.key[rows])]
    key, text = texts.key[rows], texts.text[rows]
    passed = np.zeros(len(texts.ids), np.bool_)
    passed[text] = True
    tokens = sets.take(texts.tokens, np.flatnonzero(passed))
    count, place = len(tokens), (np.cumsum(passed) - 1)[text]
    stacked = TokenSets(  # the hashes, each a set of one, then the tokens
        np.concatenate([np.arange(count), tokens.offsets + count]), np.concatenate([sets.set_keys(tokens)[:, 1], tokens.values])
    )
    place = np.where(key & SET_ROW, place, place + count)
    for begin, end in pairwise(cuts(stacked.sizes[place] * sets.TOKEN_BYTES, PIECE_BYTES)):
        mine = text[begin:end]
        yield Keyed(key[begin:end], texts.level[mine], texts.ids.take(pa.array(mine)), sets.take(stacked, place[begin:end]))


def refused(texts: KeyedTexts) -> Keyed:
    """A row with key 0 for each text that can not be compared: with no token, or (as one token) with too many."""
    rows = np.flatnonzero(~is_fit(texts.tokens))
    many = np.minimum(texts.tokens.sizes[rows], 1)
    tokens = TokenSets(np.append(0, np.cumsum(many)), np.zeros(many.sum(), np.uint64))
    return Keyed(np.zeros(len(rows), np.uint64), texts.level[rows], texts.ids.take(pa.array(rows)), tokens)


def is_fit(tokens: TokenSets) -> np.ndarray:
    return (tokens.sizes > 0) & (tokens.sizes <= MAX_TOKENS)


def _comparison_keys(tokens: TokenSets, config: LexicalDedup) -> tuple[np.ndarray, np.ndarray]:
    if config.method == "exact":
        return partenum.exact_keys(tokens, config.threshold)
    bands, rows = minhash.choose_bands(config.threshold, config.num_perm, config.min_recall)
    signatures = minhash.signatures(tokens, config.num_perm, config.seed)
    return np.repeat(np.arange(len(tokens)), bands), minhash.band_keys(signatures, bands, rows)


def _first_of_each(hashes: np.ndarray, level: np.ndarray, ids: pa.Array) -> np.ndarray:
    """The positions of the first row by (level, id) of each hash."""
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
