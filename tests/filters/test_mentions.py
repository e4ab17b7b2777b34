"""What speaks of the text or the person that only the prompt showed, and near misses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub.filters import mentions, person_meant, text_meant


@pytest.mark.parametrize(
    "text",
    [
        "A reader who agrees with the text",
        "A person who is annoyed by the text or disagrees with it",
        "A man who enjoys the text's humour",
        "Someone who dislikes this type of content",
        "A person who finds the article boring",
        "A fan who shares the views in this blog post",
        "A parishioner at the church mentioned in the document",
        "An activist interested in the topic discussed",
        "A retired engineer who knows the subject matter.",
        "A busy father who finds the information useful",
        "A sceptic who disagrees with the claims",
        "A television producer who missed an award in this event",
        "An admirer who is unable to attend this talk",
        "A fan who disagrees with the author",
        "A person who likes it.",
        "Eine Leserin, die diesem Text zustimmt",
        "Une enseignante qui apprécie ce texte",
        "Una maestra que está de acuerdo con el texto",
        "Una lettrice che apprezza questo articolo",
        "Uma leitora que gosta deste texto",
        "Een lezer die deze tekst goed vindt",
        "Nauczycielka, która czyta ten tekst",
        "Тот, кто согласен с этим текстом",
        "一个喜欢本文的人",
        "一位同意这篇文章的教师",
        "この記事を読む教師",
        "이 글을 읽는 교사",
    ],
)
def test_the_text_is_meant(text):
    assert text_meant(text)


@pytest.mark.parametrize(
    "text",
    [
        "A translator of the text of the Vulgate",
        "A philologist who compares the text of two editions",
        "A developer of the text editor Vim",
        "A novelist who writes the story of her town",
        "A content creator who posts about bread",
        "The website owner who wrote about bread",
        "A lawyer who reads the documents of refugees",
        "A blogger who agrees with the mayor",
        "A journalist who is interested in the issues raised in rural schools",
        "A clerk who finds the information that others miss",
        "A monk who disagrees with the claims of astrology",
        "A student with a research project on bees, who talks to growers about this project",
        "A teacher who has worked in this field for years",
        "A grower who knows his orchard and is proud of it",
        "Ein Lektor, der den Text von Verträgen prüft",
        "Un traductor del texto de Cervantes",
        "日本文化爱好者",
        "研究日本文学的学者",
    ],
)
def test_another_text_is_meant(text):
    assert text_meant(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "A nurse who cares for this person",
        "Someone who learned this person's work from the bottom",
        "A friend of the person",
        "A litigator who pushes the persona to their limits",
        "Der Nachbar dieser Person",
        "Le voisin de cette personne",
        "El vecino de esta persona",
        "Сосед этого человека",
        "这个人的朋友",
        "この人の隣人",
    ],
)
def test_the_person_who_was_asked_about_is_meant(text):
    assert person_meant(text)


@pytest.mark.parametrize(
    "text",
    [
        "A nurse who calls a person back and asks how the person is",
        "A clerk who finds the person who called",
        "A recruiter who finds the person for the job",
        "A believer in the freedom of the individual",
        "研究这个人群的医生",
        "一位因此人们尊敬的老师",
    ],
)
def test_another_person_is_meant(text):
    assert person_meant(text) is None


@settings(max_examples=500, deadline=None)
@given(st.one_of(*(st.tuples(st.just(stems), st.from_regex(pattern)) for stems, pattern in mentions._TEXT_PATTERNS)))
def test_the_stems_hide_no_mention(found):
    stems, text = found
    assert any(stem in " ".join(text.split()).casefold() for stem in stems)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.from_regex(mentions._PERSONS), st.from_regex(mentions._DEFINITE)))
def test_the_stems_hide_no_person(text):
    assert any(stem in " ".join(text.split()).casefold() for stem in mentions._PERSON_STEMS)


@pytest.mark.parametrize(
    "text", ["the text" * 40_000, "this " * 60_000, "a" * 300_000, "the article " * 30_000, "the person " * 30_000]
)
def test_a_long_text_takes_linear_time(text):
    text_meant(text)
    person_meant(text)
