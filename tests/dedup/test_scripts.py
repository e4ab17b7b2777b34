"""Sentences in 26 scripts through the lexical methods: one other word keeps a text, marks that are not seen do not."""

import unicodedata

import pytest
from many_scripts import SCRIPTS

from personahub.config import LexicalDedup
from personahub.dedup import by_words


@pytest.mark.parametrize("method", ["exact", "minhash"])
def test_other_words_are_kept_and_the_same_words_are_not(spark, materialise, method):
    rows, same = [], {}
    for script, (sentences, word, instead) in SCRIPTS.items():
        for number, sentence in enumerate(sentences):
            rows.append((1, f"{script} {number}", sentence))
        rows.append((1, f"{script} other", sentences[0].replace(word, instead)))
        decomposed = unicodedata.normalize("NFD", sentences[0])
        for form, text in {
            "decomposed": decomposed,
            "marked": "\u200b".join(sentences[1]),
            "soft": "\u00ad".join(sentences[2]),
        }.items():
            rows.append((2, f"{script} {form}", text))
            same[f"{script} {form}"] = f"{script} {['decomposed', 'marked', 'soft'].index(form)}"
    frame = spark.createDataFrame(rows, "level int, id string, text string")
    duplicates, rejects = by_words(frame, LexicalDedup(method=method), materialise)
    assert {row.id: row.representative for row in duplicates.collect()} == same
    assert rejects.isEmpty()
