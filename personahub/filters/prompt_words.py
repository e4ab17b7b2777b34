"""Does an answer give back the prompt's own words: the meaning of a relation, an instruction, the example that was shown? In any language
that the prompt is written in.
"""

import re
from collections.abc import Sequence, Set
from functools import lru_cache

from personahub.text import copied_run, words

RUN = 7  # so many consecutive words of the prompt are a copy of it: a description of one's own shares three or four
MIN_SHARED = 4  # words that a persona must share with one line to count as that line said again
SHARE = 0.75  # of the different words of a persona, from which on it says nothing but that line

# what the examples of all prompts are about, so that one rule finds what a model takes over from them in words of its own
_EXAMPLES_SUBJECT = re.compile(r"\b(?:thatch\w*|[Rr]oof\w*|reeds?)\b")  # no name: Thatcher, Reed


def subject_taken(text: str, parent: str, prompt: str) -> str | None:
    """The word by which a text is about the subject of the prompt's example, in place of that of the parent it was asked about; or None."""
    found = _EXAMPLES_SUBJECT.search(text)
    if found is None or _EXAMPLES_SUBJECT.search(parent) or not _EXAMPLES_SUBJECT.search(prompt):
        return None
    return found.group()


def copied_from(text: str, prompt: str, run_length: int = RUN) -> str | None:
    """The run of words, or the line, of the prompt that the text says again, or None. prompt: the prompt's own words, without any data."""
    own = words(text)
    own_set = frozenset(own)
    every, known, lines = _of(prompt)
    if run := copied_run(own, every, known, run_length):
        return run
    for line, line_words in lines:
        shared = len(own_set & line_words)
        if shared >= MIN_SHARED and shared >= SHARE * len(own_set):
            return line
    return None


@lru_cache(maxsize=512)  # one for each group of relations that is asked for
def _of(prompt: str) -> tuple[Sequence[str], Set[str], tuple[tuple[str, frozenset[str]], ...]]:
    lines = [(line.strip(), words(line)) for line in prompt.splitlines()]
    every = [word for _, found in lines for word in found]
    distinct = ((line, frozenset(found)) for line, found in lines)
    return every, frozenset(every), tuple((line, found) for line, found in distinct if len(found) >= MIN_SHARED)
