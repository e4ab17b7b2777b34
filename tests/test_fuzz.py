"""Whatever comes in is a row, a reject or a named error. `make fuzz` draws 10,000 inputs for each of these, `make test` a hundred."""

import json
import os
from contextlib import suppress

import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from personahub.config import Documents, PersonaFilters, load
from personahub.documents import generic
from personahub.documents.files import Place
from personahub.documents.json_lines import parse
from personahub.errors import ConfigError, InputError
from personahub.figures import review
from personahub.filters import Shown
from personahub.llm import journal, responses
from personahub.stages import persona_answers
from personahub.text import decoded, tokens

fuzz = settings(
    max_examples=int(os.environ.get("PERSONAHUB_FUZZ", "100")),
    derandomize="PERSONAHUB_FUZZ" not in os.environ,  # the same hundred each time
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries({}, optional={"relation": st.sampled_from(["read", "write"]) | JSON, "persona": st.text() | JSON})
ANSWERS = st.fixed_dictionaries({}, optional={"personas": st.lists(ENTRIES | JSON, max_size=4) | JSON}).map(json.dumps)


@st.composite
def broken(draw, texts):
    """A text as it came, or with a piece cut out, doubled or put in."""
    text = draw(texts)
    if draw(st.booleans()):
        return text
    start, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    return (
        text[:start]
        + draw(st.sampled_from(["", text[start:end] * 2, "```", "<think>", "\\", '"', "{", "]", "\x00", "\ud83d"]))
        + text[end:]
    )


@fuzz
@given(broken(ANSWERS) | st.text(), st.sampled_from([None, "invalid", "refused"]))
@example('{"personas": [{"relation": "read", "persona": "\\ud83d"}]}', None)
def test_an_answer_is_personas_or_rejects(text, error_kind):
    items = persona_answers.parse_answer(
        text, error_kind, None, ["read", "write"], Shown("A text about tides."), PersonaFilters()
    )
    assert items
    for position, item in enumerate(items):
        row = persona_answers.row_of("text-to-persona", "d", "c", item)
        assert row["position"] == position
        assert (row.get("reason") is None) == (row.get("persona_id") is not None)
        pa.array([str(row.get("persona")), str(row.get("raw")), str(row.get("detail"))], pa.string())


@fuzz
@given(JSON | broken(JSON.map(json.dumps)))
def test_a_body_is_an_attempt(body):
    attempt = responses.judge(body, None)
    assert (attempt.kind is None) == bool(attempt.text)


@fuzz
@given(
    st.lists(
        broken(
            st.fixed_dictionaries({"text": st.text() | JSON}, optional={"id": JSON, "language": JSON, "url": JSON}).map(
                json.dumps
            )
        ),
        max_size=4,
    )
)
def test_a_line_of_a_corpus_is_a_document_or_a_reject(tmp_path, lines):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    rows = list(
        generic.read_file(
            Place(str(path)), generic.File(str(path), "corpus.jsonl"), 0, Documents(path=str(path), format="jsonl", languages=())
        )
    )
    written = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    if not any(row.reason == "missing_column" for row in rows):
        assert len(rows) == len(written)
    pa.array([row.text or row.raw for row in rows], pa.string())


@fuzz
@given(st.binary())
def test_bytes_are_an_object_or_refused_with_a_reason(line):
    with suppress(ValueError):
        assert isinstance(parse(line), dict)


@fuzz
@given(
    broken(
        st.dictionaries(
            st.sampled_from(["root", "models", "dedup", "synthesis", "inference", "documents", "x"]), JSON, max_size=3
        ).map(json.dumps)
    )
    | st.text()
)
def test_a_configuration_is_settings_or_a_named_error(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(ConfigError):
        load([path])


@fuzz
@given(
    st.binary()
    | st.lists(
        st.lists(st.sampled_from(["e1", "e2", "valid", "invalid", "", "a,b", '"', "x\ny"]), min_size=3, max_size=8), max_size=4
    ).map(lambda rows: "\n".join(",".join(row) for row in [review.COLUMNS, *rows]).encode())
)
@example(b"\r\x00")
def test_a_review_sheet_is_verdicts_or_a_named_error(raw):
    with suppress(InputError, UnicodeDecodeError):
        verdicts, blank = review.read(decoded(raw))
        assert all(one["verdict"] in review.VERDICTS for one in verdicts.values())
        assert blank >= 0


@fuzz
@given(st.lists(st.binary() | broken(JSON.map(json.dumps)).map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=4))
def test_a_journal_gives_its_whole_rows(tmp_path, lines):
    folder = journal.window_folder(str(tmp_path), "s", 0)
    folder.mkdir(parents=True, exist_ok=True)
    whole = json.dumps({journal.KEY: "c", "final": True}).encode()
    (folder / "t-0.jsonl").write_bytes(b"\n".join([whole, *lines]) + b"\n")
    rows = journal.read_window(str(tmp_path), "s", 0)
    assert rows[0] == {journal.KEY: "c", "final": True}
    assert all(journal.KEY in row or journal.KEY_OF_VECTOR in row for row in rows)


@fuzz
@given(st.text(), st.sampled_from(["word", "character"]), st.integers(1, 3))
def test_any_text_has_tokens(text, unit, ngram):
    assert all(isinstance(token, str) for token in tokens(text, unit, ngram))
