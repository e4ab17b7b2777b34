"""Every reason has a text that gets it and a near miss that does not."""

from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personahub import filters
from personahub.config import Bounds, DocumentFilters, PersonaFilters
from personahub.filters import personas

PROSE = "The old mill stands by the river. Its wheel has not turned for forty years, yet people still come to look at it.\n"


def document(text, quality=None, on=True, **settings):
    verdict = filters.document_reason(text, quality or {}, DocumentFilters(**settings), on)
    return verdict and verdict[0]


def persona(text, parent="", prompt="", **settings):
    verdict = filters.persona_reason(text, filters.Shown(parent, prompt), PersonaFilters(**settings))
    return verdict and verdict[0]


def test_document_length_counts_characters():
    assert document("x" * 99) == "too_short"
    assert document("x" * 100) is None
    assert document("x" * 101, max_characters=100) == "too_long"
    assert document("x", min_characters=None) is None


def test_symbols_are_counted_per_word():
    ten_words = "one two three four five six seven eight nine ten "
    assert document(ten_words * 3 + "# … ...") is None  # 3 of 33 words
    assert document(ten_words * 2 + "# … ...") == "symbol_ratio"  # 3 of 23
    assert document("#" * 200, max_symbol_ratio=0.0) == "symbol_ratio"
    assert document("#" * 200, max_symbol_ratio=None) is None


@given(st.text(alphabet="ab#….  \n", max_size=60), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_the_early_stop_of_the_symbol_ratio_changes_no_verdict(text, most):
    exact = filters.count_symbols(text) / max(1, len(text.split())) > most
    assert (document(text, min_characters=None, max_symbol_ratio=most, max_repeated_line_ratio=None) == "symbol_ratio") == exact


def test_repeated_lines():
    assert filters.repeated_line_ratio("a\n\n a \nb\nc") == 0.25
    assert filters.repeated_line_ratio("\n \n") == 0.0
    assert document(PROSE * 10) == "repeated_lines"
    assert document(PROSE * 10, max_repeated_line_ratio=0.9) is None


def test_auto_is_off_for_formats_that_do_not_ask_for_it():
    assert document(PROSE * 10, on=False) is None
    assert document("# ... " * 50, on=False) is None
    assert document("x", on=False) == "too_short"
    assert document(PROSE * 10, on=False, max_repeated_line_ratio=0.3) == "repeated_lines"


def test_signals_within_bounds_and_missing_ones_pass():
    bounds = {"rps_doc_word_count": Bounds(min=50.0, max=1000.0)}
    assert document(PROSE, {"rps_doc_word_count": 49.0}, signals=bounds) == "signal"
    assert document(PROSE, {"rps_doc_word_count": 1001.0}, signals=bounds) == "signal"
    assert document(PROSE, {"rps_doc_word_count": 50.0}, signals=bounds) is None
    assert document(PROSE, {"ccnet_length": 1.0}, signals=bounds) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A retired teacher", None),
        ("A teacher", "too_short"),
        ("一位对国际政治持怀疑态度的博主", None),
        ("a " * 121, "too_long"),
        ("People", "not_a_person"),
        ("N/A", "not_a_person"),
        ("  ", "not_a_person"),
        ("A ...", "not_a_person"),
        ("…", "not_a_person"),
        ("A person who…", "not_a_person"),
        ("A painter who waits ... and waits", None),
        ("Alexandra", "not_a_person"),
        ("Alexandra Maria Gonzalez", "not_a_person"),
        ("Dr. Ivan de la Cruz, 34", "not_a_person"),
        ("Александра Иванова", "not_a_person"),
        ("Senior Software Engineer", None),
        ("No specific dislikes mentioned in the text", "not_a_person"),
        ("There is no one who would dislike it", "not_a_person"),
        ("Nobody is mentioned", "not_a_person"),
        ("Aucune personne n'est mentionnée", "not_a_person"),
        ("Keine Person wird im Artikel genannt", "not_a_person"),
        ("未提及具体的读者", "not_a_person"),
        ("特になし", "not_a_person"),
        ("No-nonsense drill sergeant of a small garrison", None),
        ("No longer a believer, a sexton who still rings the bells", None),
        ("没有信息技术背景的小学老师", None),
        ("The text is about the history of bread.", "not_a_person"),
        ("This document provides tax forms for landlords.", "not_a_person"),
        ("The website owner who wrote about bread", None),
        ("A large media company that offers advertising space", "not_a_person"),
        ("A manager at a company that offers advertising space", None),
        ("An engineer whose company specializing in bread failed", None),
        ("A book about bread and its makers", "not_a_person"),
        ("A book lover who bakes bread at night", None),
        ("A group of friends who bake bread", None),
        ("I'm sorry, but I cannot help with that request.", "refusal"),
        ("As an AI language model, I do not have preferences.", "refusal"),
        ("Lo siento, pero no puedo ayudar con eso.", "refusal"),
        ("Es tut mir leid, dabei kann ich nicht helfen.", "refusal"),
        ("抱歉，我无法完成这个请求，因为没有内容。", "refusal"),
        ("作为一名人工智能研究员，我关心安全", None),
        ("As an AI researcher I worry about safety", None),
        ("I can't help but collect old maps of Bavaria", None),
        ("A person who often says I'm sorry, but I cannot dance", None),
        ("A {{ profession }} who likes bread", "copied_prompt"),
        ("<persona>A baker from Bath</persona>", "copied_prompt"),
        ('{"persona": "A baker from Bath"}', "copied_prompt"),
        ("Someone who is likely to read this text", "copied_prompt"),
        ("A baker who answers to jo.smith@example.co.uk at once", "contact"),
        ("A baker who can be called at +44 20 7946 0958", "contact"),
        ("A baker to be reached at (555) 123-4567 all day", "contact"),
        ("A historian of the years 1914-1918 and 1939-1945", None),
        ("A fan of the 2,500,000 records sold in 1977", None),
        ("A man with sexual interest in children", "unsafe"),
        ("A therapist who helps children after sexual abuse", None),
        ("A loner who plans to kill many people", "unsafe"),
        ("A gamer who loves to kill zombies", None),
    ],
)
def test_personas(text, reason):
    assert persona(text) == reason


ASKED = """For each of these relations, describe one persona:
- supplier: someone who stands at the beginning of the chain that ends with what this person uses
- homeless_person: someone who lives in the street that this person walks along

{"personas": [
{"relation": "critic", "persona": "A fire officer who has carried two families out of burning cottages and wants straw roofs banned"}
]}"""


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("Someone who stands at the beginning of the chain that ends with coffee", True),  # a run of the meaning's words
        ("A homeless person who lives in the street", True),  # one line of the prompt and nothing else
        ("A fire officer who has carried two families out of burning houses for thirty years", True),  # a run of the example's
        ("A fire officer who wants roofs banned and has carried families", True),
        ("A fire officer who has carried hoses up the stairs of every school in the county", False),
        ("A man without a home who sells papers in the street and sleeps by the canal", False),
    ],
)
def test_the_prompts_own_words_are_no_persona(text, copied):
    assert persona(text, prompt=ASKED) == ("copied_prompt" if copied else None)
    assert persona(text) is None


@pytest.mark.parametrize("name", ["text_to_persona", "persona_to_persona"])
def test_the_subject_of_the_prompts_example_is_not_taken_for_that_of_the_text(name):
    own = (resources.files("personahub.prompts") / f"{name}.yaml").read_text()
    homeowner = "A homeowner who is looking for ways to save money on the roof"
    assert persona(homeowner, "A text on loans", own) == "copied_prompt"
    assert persona(homeowner, "A text on roofs", own) is None
    assert persona(homeowner) is None  # nothing was shown


@settings(max_examples=300, deadline=None)
@given(st.one_of(*(st.from_regex(pattern) for pattern in (personas._SLUR, personas._VIOLENT, personas._SEXUAL_MINOR))))
def test_the_stems_hide_nothing_that_is_unsafe(text):
    assert any(stem in text.casefold() for stem in personas._STEMS)


def test_unsafe_can_be_switched_off():
    assert persona("A loner who plans to kill many people", unsafe=False) is None


def test_twelve_consecutive_words_of_the_parent_are_a_copy():
    parent = "We  will be starting to hold WEEKLY teleconferences for businesses, that may be interested in factoring."
    eleven = "will be starting to hold weekly teleconferences for businesses that may"
    assert persona(f"A person who {eleven} call", parent) is None
    assert persona(f"A person who {eleven} be", parent) == "copied_prompt"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ha" * 150_000, "too_short"),
        ("H" + "a" * 300_000, "too_short"),
        ("a.b+" * 75_000, "too_short"),
        ("Ж" + "а" * 300_000, "too_short"),
        ("A baker who paints " * 15_000, "copied_prompt"),
        ("[name " * 50_000, "too_long"),
    ],
)
def test_a_text_of_300_000_letters_is_refused_in_linear_time(text, reason):
    assert persona(text, "A baker who paints " * 15_000) == reason  # quadratic time would be hours


def test_language_is_asked_only_of_longer_texts_and_only_if_configured():
    french = "Une enseignante de lycée qui aime lire de vieux livres"
    assert filters.language(french) == "fr"
    assert filters.language("Une enseignante") is None
    assert persona(french, languages=("en",)) == "wrong_language"
    assert persona(french) is None
    assert persona("Une enseignante qui lit", languages=("en",)) is None
    assert persona("A school teacher who loves to read very old books", languages=("en",)) is None


def test_words_of_scripts_without_spaces():
    assert filters.count_words("PHP programmer") == 2
    assert filters.count_words("台灣環保人士") == 3
    assert filters.count_words("热爱 K-Pop 的人") == 3


@pytest.mark.parametrize(
    "text",
    [
        "Software Engineer, specialising in compilers",
        "Marine Biologist, studying coral reefs",
        "Data Scientist (healthcare), who reads papers",
        "A nurse with Doctors Without Borders",
        "A client of Riverside Savings Bank",
    ],
)
def test_an_occupation_or_an_institution_is_no_persons_name(text):
    assert persona(text) is None


def test_few_real_personas_are_refused(shared_data):
    import orjson

    personas = [orjson.loads(line)["persona"] for line in (shared_data / "personas.jsonl").read_bytes().splitlines()]
    refused = [
        (verdict, text) for text in personas if (verdict := filters.persona_reason(text, filters.Shown(), PersonaFilters()))
    ]
    named = [verdict for verdict, _ in refused if verdict[0] == "names_a_person"]
    assert 0 < len(named) <= 0.015 * len(personas), named
    alone = [text for verdict, text in refused if verdict[0] == "not_self_contained"]
    assert len(alone) <= 10, alone  # read one by one: each speaks of a text, an event in it or "the persona", which nobody sees
    assert len(refused) - len(named) - len(alone) <= 0.01 * len(personas), refused
    assert {verdict[0] for verdict, _ in refused} <= {"not_a_person", "not_self_contained", "too_short", "names_a_person"}
