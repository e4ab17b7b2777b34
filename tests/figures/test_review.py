import csv
import io
import json

import pytest

from personahub import schemas
from personahub.errors import InputError
from personahub.figures import review
from personahub.rows import frame


def tables(spark, count=50):
    def example(number):
        content = json.dumps({"problem": "=SUM(A1)" if number == 0 else f"How many tides does mill {number} need?"})
        return (f"e{number}", "math", "zero_shot", "{}", f"p{number}", content, None, f"c{number}", "mock", "run-1", True)

    people = [(f"p{number}", f"Miller {number}.", 0, "en") for number in range(count)]
    return frame(spark, map(example, range(count)), schemas.EXAMPLES), frame(spark, people, schemas.PERSONAS)


def sheet(rows, header="example_id,task,verdict,note"):
    return "\n".join([header, *rows]) + "\n"


def test_a_sheet_holds_the_same_examples_for_the_same_seed_and_no_formula(spark):
    examples, personas = tables(spark)
    drawn = review.draw(examples, personas, 50, 1)
    rows = list(csv.DictReader(io.StringIO(drawn)))
    assert tuple(rows[0]) == review.COLUMNS
    assert len({row["example_id"] for row in rows}) == 50
    assert all(row["persona"] == f"Miller {row['example_id'][1:]}." and not row["verdict"] for row in rows)
    assert [row["example"] for row in rows if row["example_id"] == "e0"] == ["'=SUM(A1)"]
    few = review.draw(examples, personas, 5, 1)
    assert few == review.draw(examples.repartition(3), personas, 5, 1)
    assert few != review.draw(examples, personas, 5, 2)
    assert drawn.startswith(few)


def test_what_was_filled_in_is_read_and_what_was_not_is_counted():
    text = "\ufeff" + sheet(["e1,math, Valid ,", 'e2,math,invalid,"no, 7 is missing"', "e3,math,,"])
    verdicts, blank = review.read(text)
    assert blank == 1
    assert verdicts == {
        "e1": {"verdict": "valid", "note": "", "where": "the sheet, line 2"},
        "e2": {"verdict": "invalid", "note": "no, 7 is missing", "where": "the sheet, line 3"},
    }


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_sheet_as_spreadsheets_of_other_countries_save_it(mark):
    text = (
        mark.join(review.COLUMNS)
        + "\r\n"
        + mark.join(["e1", "math", "{}", "A baker", "What, if; 3+4?".replace(mark, ""), "valid", ""])
        + "\r\n"
    )
    verdicts, blank = review.read(text)
    assert (verdicts["e1"]["verdict"], blank) == ("valid", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (sheet(["e1,math,valid"], "id,task,verdict"), "no column example_id"),
        ("", "no column example_id, verdict"),
        (sheet(["e1,math,vallid,"]), r"line 2: the verdict 'vallid' is neither valid nor invalid; did you mean valid\?"),
        (sheet(["e1,math,valid,", "e1,math,invalid,"]), "line 3: the example e1 stands twice"),
    ],
)
def test_a_sheet_that_is_not_as_it_should_be(text, message):
    with pytest.raises(InputError, match=message):
        review.read(text)


def test_the_interval_of_the_papers_count():
    found = review.validity(200, 193)
    assert found.rate == pytest.approx(0.965)
    assert (found.low, found.high) == (pytest.approx(0.9295, abs=5e-4), pytest.approx(0.9829, abs=5e-4))
    assert review.validity(0, 0) is None
    assert review.validity(3, 3).low == pytest.approx(0.4385, abs=5e-4)
    assert review.validity(3, 3).high == 1.0
