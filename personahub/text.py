"""One normaliser and one tokeniser, used by ids, dedup and tests alike. Pure Python."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

# Scripts that put no space between words: Thai, Lao, Burmese, Khmer, kana, Han. Each of their characters counts as a word.
_UNSPACED = (
    r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1780-\u17d3\u3005-\u3007\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe"
    r"\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
# ASCII, folded, and a space for whatever is in no word
_ASCII_WORDS = "".join(chr(code).lower() if re.fullmatch(r"\w", chr(code)) else " " for code in range(128))
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]])|[。！？\n]")


def normalise(text: str) -> str:
    """NFKC, casefold, every run of whitespace to one space, stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    r"""The `\w+` words of the normalised text, in order; in scripts without spaces (Chinese, Thai, ...) each character is a word."""
    if text.isascii():  # the same words, at a fifth of the cost
        return text.translate(_ASCII_WORDS).split()
    return _WORD.findall(normalise(text))


def tokens(text: str, unit: str = "word", ngram: int = 1) -> frozenset[str]:
    """The set that near-duplicates are compared by: runs of `ngram` words, or of `ngram` characters of the normalised text.

    A text shorter than one run is a run of its own; a text without any word (or character) has no tokens.
    """
    units = words(text) if unit == "word" else list(normalise(text))
    joint = " " if unit == "word" else ""
    if len(units) < ngram:
        return frozenset([joint.join(units)] if units else [])
    return frozenset(joint.join(units[start : start + ngram]) for start in range(len(units) - ngram + 1))


def cut_at_sentence(text: str, limit: int) -> str:
    """The longest prefix of at most `limit` characters that ends with a sentence, else with a word, else at the limit."""
    if len(text) <= limit:
        return text
    head = text[:limit]
    # looks one character beyond the limit: "3." of "3.14" ends no sentence
    ends = [end.end() for end in _SENTENCE_END.finditer(text, 0, limit + 1) if end.end() <= limit]
    if ends and ends[-1] >= limit // 2:
        return head[: ends[-1]].rstrip()
    space = head.rfind(" ")
    return head[:space].rstrip() if space >= limit // 2 else head


def nearest(word: str, candidates: Iterable[str], prefix: str = "") -> str:
    """The tail of an error message about an unknown name: the nearest right one, else all of them."""
    candidates = list(candidates)
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.4)
    full = [f"{prefix}.{name}" if prefix else name for name in near or sorted(candidates)]
    if near:
        return f"; did you mean {full[0]}?"
    return f"; known here: {', '.join(full)}" if full else ""
