"""Generated personas with planted near-duplicates, the input of the deduplication benchmarks.

A grammar of our own: a head ("A retired <noun> <role> from <Place>") and clauses, words drawn by Zipf-Mandelbrot from 150,000 invented
ones, half of the clauses from a common pool, so that rows that are no copies are alike as well. Sizes of the token sets: p5 9, p50 19,
p95 30. Of each 100,000 rows 18 % are copies with 0 to 4 words replaced, inserted or deleted (and another case or full stop), 2 % stand in
drift chains A~B~C of six, 500 are one-slot families (one of 200, ten of 30), 4 to 6 % are not ASCII (accents, dashes, curly
quotes, Chinese). Ids are random, and so is the order of the rows. The same seed gives the same rows.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

WIDTH = 64  # words of a text at most
BLOCK = 100_000  # rows that are planned together: the shares above hold in each
_COPIES, _CHAINED, _CHAIN, _FAMILIES, _CHINESE = 0.18, 0.02, 6, (200, *[30] * 10), 0.01
_HEADS = """A {role}|A {adjective} {role}|A {noun} {role}|A {role} from {place}|A retired {noun} {role}|An aspiring {role} from {place}
A young {adjective} {role}|The {adjective} {role} of the {noun}|A {noun} {role} in {place}|A {place}'s {role}|a {role}
A fellow {noun} {role}"""
_CLAUSES = """who {verb} {adjective} {plural}|who {verb} the {noun} of {plural}|and {verb} {noun} {plural}|with a passion for {plural}
with {number} years of experience in {noun} {plural}|who is interested in {gerund} {plural}|specializing in {adjective} {noun}
at the {noun} of {place}|for {adjective} {plural} and {plural},|in the {noun} {noun}|and often {verb} {plural} to {noun} {plural}
whose {noun} {verb} their {plural}|looking for {noun} {plural}|known for {gerund} {adjective} {plural}|on the {adjective} {noun},
who has been {gerund} {plural} since the {noun}|from {place}|and is {adjective} about {gerund} a {noun}|through {noun} {gerund}
who believes that {plural} {verb} {noun}|while {gerund} {place}'s {plural}|after the {noun}|despite {adjective} {noun}
to {gerund} {plural}|by {gerund} {noun}|that {verb} {plural} in {place}|using {adjective} {plural}|about {noun} and {noun}"""
_CURLY = "from {place}’s {noun}|— {adjective} and {adjective} —"  # one clause in 150
_SIZES = {"noun": 50_000, "plural": 40_000, "adjective": 20_000, "verb": 12_000, "gerund": 12_000, "role": 6_000, "place": 10_000}
_ENDINGS = {"noun": "", "plural": "s", "adjective": "al", "verb": "es", "gerund": "ing", "role": "er", "place": ""}
_CHARACTERS = 3_000  # of the Chinese rows


def generate(rows: int, seed: int) -> pa.Table:
    """`rows` personas: id (32 hex digits) and persona, in random order."""
    lexicon = _Lexicon(seed)
    texts: list[str] = []
    for block, start in enumerate(range(0, rows, BLOCK)):
        draw = np.random.default_rng([seed, 1, block])
        matrix, lengths = _block(lexicon, min(BLOCK, rows - start), draw)
        texts += _surfaces(lexicon, matrix, lengths, draw)
    draw = np.random.default_rng([seed, 2])
    order = draw.permutation(rows)
    digits = draw.bytes(16 * rows).hex()
    keys = pa.array([digits[at : at + 32] for at in range(0, 32 * rows, 32)])
    return pa.table({"id": keys, "persona": pa.array(texts).take(pa.array(order))})


def write(path: Path, rows: int, seed: int) -> Path:
    pq.write_table(generate(rows, seed), path, row_group_size=25_000)
    return path


class _Lexicon:
    """All words, each kind in a run of its own; and the clauses that many rows share."""

    def __init__(self, seed: int) -> None:
        draw = np.random.default_rng([seed, 0])
        self.words: list[str] = []
        self.runs: dict[str, tuple[int, np.ndarray]] = {}  # first word, cumulative probability of the words of this kind
        for kind, size in _SIZES.items():
            self._add(kind, _invented(size, _ENDINGS[kind], draw))
        self._add("number", [str(number) for number in range(2, 40)])
        self._add("chinese", [chr(0x4E00 + 5 * index) for index in range(_CHARACTERS)])
        self.literals: dict[str, int] = {}
        self.heads = [self._compiled(text) for text in _HEADS.replace("\n", "|").split("|")]
        self.clauses = [self._compiled(text) for text in _CLAUSES.replace("\n", "|").split("|")]
        self.curly = [self._compiled(text) for text in _CURLY.split("|")]
        self.pool = self.phrases(self.clauses, 200_000, draw)
        self.head_pool = self.phrases(self.heads, 30_000, draw)

    def draw(self, kind: str, count: int, draw: np.random.Generator) -> np.ndarray:
        first, cumulative = self.runs[kind]
        return (first + np.searchsorted(cumulative, draw.random(count))).astype(np.int32)

    def phrases(self, templates: list[list[tuple[str, int]]], count: int, draw: np.random.Generator) -> np.ndarray:
        """int32[count, longest]: words of `count` phrases of random templates, -1 behind the end."""
        phrases = np.full((count, max(map(len, templates))), -1, np.int32)
        which = draw.integers(0, len(templates), count)
        for number, template in enumerate(templates):
            rows = np.flatnonzero(which == number)
            for column, (kind, word) in enumerate(template):
                phrases[rows, column] = self.draw(kind, len(rows), draw) if kind else word
        return phrases

    def _add(self, kind: str, words: list[str]) -> None:
        weight = 1.0 / (np.arange(len(words)) + 12.0)
        if kind == "place":
            words = [word.capitalize() for word in words]
        self.runs[kind] = len(self.words), np.cumsum(weight / weight.sum())
        self.words += words

    def _compiled(self, template: str) -> list[tuple[str, int]]:
        """(kind, -1) or ("", word) for each word of the template."""
        return [part for word in template.split() for part in self._part(word)]

    def _part(self, word: str) -> list[tuple[str, int]]:
        if word.startswith("{"):
            kind, rest = word[1:].split("}")
            return [(kind, -1), *([("", self._literal(rest))] if rest else [])]
        return [("", self._literal(word))]

    def _literal(self, word: str) -> int:
        if word not in self.literals:
            self.literals[word] = len(self.words)
            self.words.append(word)
        return self.literals[word]


def _invented(count: int, ending: str, draw: np.random.Generator) -> list[str]:
    """`count` different words of two or three syllables; one in 700 of them with an accent."""
    onsets = [*"bcdfghjklmnprstvwz", "br", "cl", "gr", "pl", "st", "th"]
    syllables = ["".join(parts) for parts in product(onsets, "aeiou", ["", "", "", "n", "r", "l", "s"])]
    words: dict[str, None] = {}
    while len(words) < count:
        size = 2 if len(words) < 4_000 else 3
        word = "".join(syllables[at] for at in draw.integers(0, len(syllables), size)) + ending
        words[word.replace("a", "á").replace("e", "é") if draw.random() < 1 / 700 else word] = None
    return list(words)


def _block(lexicon: _Lexicon, rows: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The words of one block of rows: int32[rows, WIDTH] and the number of words of each row."""
    families = [size for size in _FAMILIES if rows >= BLOCK // 2]
    copies, chains = int(rows * _COPIES), int(rows * _CHAINED) // _CHAIN
    own = rows - copies - chains * (_CHAIN - 1) - sum(families) + len(families)
    matrix = np.full((rows, WIDTH), -1, np.int32)
    lengths = np.zeros(rows, np.int64)
    matrix[:own], lengths[:own] = _texts(lexicon, own, draw)
    long = np.flatnonzero(lengths[:own] >= 14)
    place = own
    for size in families:  # one word of a text of more than 20 words takes another value in each row
        source = draw.choice(np.flatnonzero((lengths[:own] >= 23) & (lengths[:own] < 40)))
        members = slice(place, place + size - 1)
        matrix[members], lengths[members] = matrix[source], lengths[source]
        matrix[members, draw.integers(2, lengths[source])] = lexicon.draw("noun", size - 1, draw)
        place += size - 1
    before = draw.choice(long, chains, replace=False) if chains else long[:0]
    for _ in range(_CHAIN - 1):
        after = np.arange(place, place + chains)
        matrix[after], lengths[after] = matrix[before], lengths[before]
        _edit(lexicon, matrix, lengths, after, draw)
        before, place = after, place + chains
    after = np.arange(place, rows)
    sources = draw.choice(
        np.flatnonzero(lengths[: own // 2 + 1] >= 7), len(after)
    )  # half of the rows have all the copies, some several
    matrix[after], lengths[after] = matrix[sources], lengths[sources]
    edits = draw.integers(0, 5, len(after))
    for number in range(4):
        _edit(lexicon, matrix, lengths, after[edits > number], draw)
    return matrix, lengths


def _texts(lexicon: _Lexicon, count: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Heads with as many clauses as a normal number of words asks for."""
    wanted = np.clip(np.rint(draw.normal(21.0, 7.6, count)), 8, 50)
    matrix = np.full((count, WIDTH), -1, np.int32)
    pooled = (draw.pareto(0.9, count) * 300).astype(np.int64)
    heads = np.where(
        (pooled < len(lexicon.head_pool))[:, None],
        lexicon.head_pool[np.minimum(pooled, len(lexicon.head_pool) - 1)],
        lexicon.phrases(lexicon.heads, count, draw),
    )
    lengths = _append(matrix, np.zeros(count, np.int64), np.arange(count), heads)
    while True:
        rows = np.flatnonzero(lengths < wanted - 2)
        if not len(rows):
            break
        pooled = (draw.pareto(0.7, len(rows)) * 400).astype(np.int64)
        common = (pooled < len(lexicon.pool)) & (draw.random(len(rows)) < 0.5)
        clauses = np.where(
            common[:, None],
            lexicon.pool[np.minimum(pooled, len(lexicon.pool) - 1)],
            lexicon.phrases(lexicon.clauses, len(rows), draw),
        )
        curly = draw.random(len(rows)) < 1 / 150
        fancy = lexicon.phrases(lexicon.curly, int(curly.sum()), draw)
        clauses[curly] = -1
        clauses[curly, : fancy.shape[1]] = fancy
        lengths[rows] = _append(matrix, lengths[rows], rows, clauses)
    chinese = np.flatnonzero(draw.random(count) < _CHINESE)
    matrix[chinese] = lexicon.draw("chinese", len(chinese) * WIDTH, draw).reshape(-1, WIDTH)
    return matrix, lengths


def _append(matrix: np.ndarray, lengths: np.ndarray, rows: np.ndarray, phrases: np.ndarray) -> np.ndarray:
    for column in range(phrases.shape[1]):
        there = phrases[:, column] >= 0
        matrix[rows[there], lengths[there]] = phrases[there, column]
        lengths = lengths + there
    return lengths


def _edit(lexicon: _Lexicon, matrix: np.ndarray, lengths: np.ndarray, rows: np.ndarray, draw: np.random.Generator) -> None:
    """Replace, insert or delete one word of each of `rows`, in place."""
    kind = draw.integers(0, 3, len(rows))
    at = (1 + draw.random(len(rows)) * (lengths[rows] - 1)).astype(np.int64)[:, None]
    columns = np.arange(WIDTH)[None]
    shift = np.where(kind == 1, -1, np.where(kind == 2, 1, 0))[:, None]  # an insertion takes what is behind `at` from the left
    source = np.where(columns > at, columns + shift, columns + np.where((columns == at) & (kind[:, None] == 2), 1, 0))
    texts = np.take_along_axis(matrix[rows], np.clip(source, 0, WIDTH - 1), axis=1)
    written = kind < 2
    chinese = texts[written, 0] >= lexicon.runs["chinese"][0]
    new = np.where(
        chinese & (texts[written, 0] < lexicon.runs["chinese"][0] + _CHARACTERS),
        lexicon.draw("chinese", len(chinese), draw),
        lexicon.draw("adjective", len(chinese), draw),
    )
    texts[written, at[written, 0]] = new
    matrix[rows] = texts
    lengths[rows] -= shift[:, 0]


def _surfaces(lexicon: _Lexicon, matrix: np.ndarray, lengths: np.ndarray, draw: np.random.Generator) -> list[str]:
    first = lexicon.runs["chinese"][0]
    chinese = (matrix[:, 0] >= first) & (matrix[:, 0] < first + _CHARACTERS)
    style = draw.integers(0, 8, len(matrix)).tolist()
    words = lexicon.words
    texts = []
    for row, length, unspaced, how in zip(matrix.tolist(), lengths.tolist(), chinese.tolist(), style, strict=True):
        text = ("" if unspaced else " ").join([words[word] for word in row[:length]]).replace(" '", "'").replace(" ’", "’")
        text = text.replace(" ,", ",").rstrip(",")
        texts.append(text.lower() if how == 0 else text + "." if how < 4 else text)
    return texts
