"""One normaliser and one tokeniser, used by ids, dedup and tests alike. Pure Python."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"')\]])|[。！？\n]")


def normalise(text: str) -> str:
    """NFKC, casefold, every run of whitespace to one space, stripped."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def tokens(text: str) -> frozenset[str]:
    r"""The set of `\w+` words of the normalised text."""
    return frozenset(_WORD.findall(normalise(text)))


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
