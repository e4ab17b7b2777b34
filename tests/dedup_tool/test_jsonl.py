"""Reading JSON lines: types, lines that are no objects, what files may be like; all of it equal to what orjson reads."""

import bz2
import gzip
import json
import math
import random

import orjson
import pyarrow as pa
import pytest
import zstandard

from personahub.config import load
from personahub.dedup_tool import jsonl
from personahub.dedup_tool.input import detect, read
from personahub.dedup_tool.jsonl import UNREADABLE
from personahub.documents import files
from personahub.documents.files import Place
from personahub.errors import InputError
from personahub.storage.delta import Store


@pytest.fixture
def reading(spark, tmp_path):
    """Lines (bytes or objects) -> the types of the columns, the rows in the order of the lines, the unreadable lines."""

    def reading(*lines, path=None):
        path = path or tmp_path / "a.jsonl"
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
        return taken(jsonl.read(spark, str(path), [str(path)]))

    return reading


def taken(frame):
    types = {field.name: field.dataType.simpleString() for field in frame.schema if field.name != UNREADABLE}
    rows = [row.asDict(recursive=True) for row in frame.collect()]
    unreadable = [row[UNREADABLE] for row in rows if row[UNREADABLE] is not None]
    good = [{name: row[name] for name in types} for row in rows if row[UNREADABLE] is None]
    assert all(set(row.values()) == {None, row[UNREADABLE]} for row in rows if row[UNREADABLE] is not None)
    return types, good, unreadable


@pytest.mark.parametrize(
    ("values", "type_", "read"),
    [
        ([True, None, False], "boolean", None),
        ([1, None, -(2**63)], "bigint", None),
        ([1, 2**63, -(2**70)], "string", ["1", str(2**63), str(-(2**70))]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([None, None], "string", None),
        (["1", "", "ä\x00😀"], "string", None),
        (["text", 1, 2.5, True, None, [1], {"a": "b"}], "string", ["text", "1", "2.5", "true", None, "[1]", '{"a":"b"}']),
        ([1, True], "string", ["1", "true"]),
        ([[1], {"a": 1}], "string", ["[1]", '{"a":1}']),
        ([[1], [], None, [None, 2.5]], "array<double>", [[1.0], [], None, [None, 2.5]]),
        ([[], [None]], "array<string>", None),
        ([[1, "a", [2]]], "array<string>", [["1", "a", "[2]"]]),
        ([[[]], [[1]]], "array<array<bigint>>", None),
        ([{}, {}], "string", ["{}", "{}"]),
        ([[{}]], "array<string>", [["{}"]]),
        ([{}, {"b": 1}], "struct<b:bigint>", [{"b": None}, {"b": 1}]),
        ([{"b": {}}, {"a": [{}]}], "struct<b:string,a:array<string>>", [{"b": "{}", "a": None}, {"b": None, "a": ["{}"]}]),
        ([{"b": 1}, {"a": "x", "b": 1.5}], "struct<b:double,a:string>", [{"b": 1.0, "a": None}, {"b": 1.5, "a": "x"}]),
        ([{"b": 1}, {"B": 2}], "string", ['{"b":1}', '{"B":2}']),
        ([{"a": 1}, "x"], "string", ['{"a":1}', "x"]),
        # no times, and no other spelling
        (["2024-01-01 00:00:00", "2024-01-01", "2024-01-01T00:00:00Z"], "string", None),
        ([["2024-01-01"], ["2024-01-01 00:00:00"]], "array<string>", None),
        ([{"a": "2024-01-01", "b": ["2024-01-01"]}], "struct<a:string,b:array<string>>", None),
    ],
)
def test_the_type_of_a_column_holds_all_its_values(reading, values, type_, read):
    types, rows, unreadable = reading(*({"v": value} for value in values))
    assert (types, unreadable) == ({"v": type_}, [])
    assert [row["v"] for row in rows] == (values if read is None else read)


def test_columns_have_the_order_in_which_they_are_first_seen(spark, tmp_path):
    for name, lines in (("a", [{"z": None, "b": 1}, {"b": 2, "y": 1}]), ("b", [{"a": 1, "z": 2}])):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    frame = read(Store(spark, _config(tmp_path)), detect(str(tmp_path)))
    assert frame.columns == ["z", "b", "y", "a", UNREADABLE]
    assert sorted(tuple(row)[:4] for row in frame.fillna(0).collect()) == [(0, 1, 0, 0), (0, 2, 1, 0), (2, 0, 0, 1)]


def test_numbers_beyond_a_double_are_infinite(reading):
    types, rows, _ = reading(b'{"v":1e400}', b'{"v":-1e400}', {"v": 1})
    assert (types, [row["v"] for row in rows]) == ({"v": "double"}, [math.inf, -math.inf, 1.0])


def test_numbers_as_python_writes_them(reading):
    types, rows, unreadable = reading(b'{"v":NaN}', b'{"v":-Infinity}', {"v": 1})
    assert (types, unreadable) == ({"v": "double"}, [])
    assert math.isnan(rows[0]["v"])
    assert [row["v"] for row in rows[1:]] == [-math.inf, 1.0]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"v":"\\ud800 x"}', "? x"),
        (b'{"v":["\\udfff"]}', '["?"]'),
        (b'{"v":"a","v":"b"}', "b"),
        (b' \t{"v" : "b" } \r', "b"),
        (b'\xef\xbb\xbf{"v":"b"}', "b"),
        (b'{"v":1e400}', "null"),
        (b'{"v":' + b"9" * 400 + b"}", "9" * 400),
        (b'{"v":' + b"[" * 100 + b"]" * 100 + b"}", "[" * 100 + "]" * 100),
        (b'{"v":"' + b"[" * 1000 + b'"}', "[" * 1000),
    ],
)
def test_lines_that_only_a_slower_reader_takes(reading, line, value):
    for lines in ([line, {"v": "x"}], [line, b'{"v":"x"}', b"[1]"]):
        types, rows, unreadable = reading(*lines)
        assert types == {"v": "string"}
        assert {row["v"] for row in rows} == {value, "x"}
        assert unreadable == [line.decode() for line in lines[2:]]


UNREADABLE_LINES = [
    b"no json", b"[1]", b"null", b"1", b'"x"', b"{", b'{"v":', b"1}", b'{"v":"cut', b'{"v":Nan}', b'{"v":-' + b"9" * 5000 + b"}",
    b'{"v":1}{"v":2}', b'{"v":1}null{"v":2}', b'{"v":"\xff"}', b"{'v':1}", b'{"v":1,}', b'{"v":"a\tb"}', b'{"v":01}', b'{"v":1}\x00',
    b'{"v":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"v":' * 100_000 + b"1" + b"}" * 100_000,
]  # fmt: skip


def test_lines_that_are_no_objects(reading):
    types, rows, unreadable = reading(*(line for bad in UNREADABLE_LINES for line in (bad, {"v": 7})))
    assert types == {"v": "bigint"}
    assert rows == [{"v": 7}] * len(UNREADABLE_LINES)
    assert sorted(unreadable) == sorted(line.decode(errors="replace") for line in UNREADABLE_LINES)
    for bad in UNREADABLE_LINES:  # each in a block of its own
        assert reading(bad, {"v": 7}) == ({"v": "bigint"}, [{"v": 7}], [bad.decode(errors="replace")])


def test_blank_lines_are_no_rows(reading):
    expected = ({"v": "bigint"}, [{"v": 1}, {"v": 2}], [])
    assert reading(b"", b" ", {"v": 1}, b"\r", b"\t", {"v": 2}, b"", b"") == expected
    assert reading(b'{"v":1}\r', b'{"v":2}\r', b"") == expected
    assert reading({}, {"v": 1}) == ({"v": "bigint"}, [{"v": None}, {"v": 1}], [])


def test_types_are_passed_on_to_the_deepest(reading):
    value = 1
    for _ in range(jsonl.MAX_DEPTH):
        value = {"a": [value]}
    types, [row], _ = reading({"v": value})
    assert types["v"].count("<") == jsonl.MAX_DEPTH - 1
    for _ in range((jsonl.MAX_DEPTH - 1) // 2):
        value, row["v"] = value["a"][0], row["v"]["a"][0]
    assert orjson.loads(row["v"]["a"]) == value["a"]


PACKED = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_files_of_several_blocks(spark, tmp_path, monkeypatch, ending):
    parts = [b"".join(b'{"n":%d}\n' % n for n in range(start, start + 5000)) for start in (0, 5000)]
    path = tmp_path / f"A.JSONL{ending.upper()}"
    path.write_bytes(b"".join(PACKED[ending](part) for part in [*parts, b'{"v":1}']))
    types, rows, unreadable = taken(jsonl.read(spark, "a", [str(path)]))
    assert (types, unreadable) == ({"n": "bigint", "v": "bigint"}, [])
    assert [row["n"] for row in rows] == [*range(10_000), None]
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(files, "_PLAIN_CHUNK", 300)
    place, schema = Place(str(path)), pa.schema([("n", pa.int64()), ("v", pa.int64())])
    assert jsonl._kinds_of_file(place, str(path)) == ({"n": "int", "v": "int"}, None)
    parsed = list(jsonl._parsed(place, str(path), schema))
    assert len(parsed) > 50 or ending  # a packed file is unpacked in large pieces
    assert [n for columns, _ in parsed for n in columns[0].to_pylist()] == [*range(10_000), None]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: whole[:100] + bytes(50) + whole[150:], lambda _: b""]
)
def test_a_damaged_file_is_named(spark, tmp_path, ending, damage):
    chosen = random.Random(0)
    whole = b"".join(b'{"n":%d}\n' % chosen.getrandbits(60) for _ in range(2000))
    (tmp_path / "a.jsonl").write_bytes(whole)
    (tmp_path / f"b.jsonl{ending}").write_bytes(damage(PACKED[ending](whole)))
    with pytest.raises(InputError, match=rf"b\.jsonl\{ending} is damaged, or no jsonl file: \w"):
        read(Store(spark, _config(tmp_path)), detect(str(tmp_path)))


def test_names_of_folders_become_columns(spark, tmp_path):
    for folder, n in (("lang=en/year=2024", 1), ("lang=a%2Fb/year=01", 2), ("lang=__HIVE_DEFAULT_PARTITION__/year=-3", 3)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.jsonl").write_text(f'{{"Year": 0, "n": {n}}}\nbad')
    frame = read(Store(spark, _config(tmp_path)), detect(str(tmp_path)))
    assert frame.schema.simpleString() == f"struct<n:bigint,lang:string,year:bigint,{UNREADABLE}:string>"
    expected = {(1, "en", 2024, None), (2, "a/b", 1, None), (3, None, -3, None)}
    found = {tuple(row) for row in frame.collect()}
    assert found == expected | {(None, *row[1:3], "bad") for row in expected}


def test_a_url_is_read(spark, tmp_path):
    for name in ("a.jsonl", "b.jsonl", "_c.jsonl", "d.parquet"):
        (tmp_path / name).write_text(f'{{"v": "{name}"}}')
    for url, names in (("a.jsonl", ["a.jsonl"]), ("*.jsonl", ["a.jsonl", "b.jsonl"])):
        _, rows, _ = taken(jsonl.read(spark, "x", [f"file://{tmp_path}/{url}"]))
        assert sorted(row["v"] for row in rows) == names
    for url, message in (("x.jsonl", "the input .*x.jsonl' does not exist"), ("x*.jsonl", "input/x names no file")):
        with pytest.raises(InputError, match=message):
            jsonl.read(spark, "input/x", [f"file://{tmp_path}/{url}"])


@pytest.mark.parametrize("lines", [[b""], [b"", b" "], [b"hello"], [b"[1]"], [b"{}", b"{}"]])
def test_no_line_is_an_object_with_keys(reading, lines):
    with pytest.raises(InputError, match=r"a\.jsonl is empty, or no line of it is a JSON object that names its columns"):
        reading(*lines)


def test_a_name_that_is_taken(reading):
    with pytest.raises(InputError, match="a name that is taken: rename it"):
        reading({UNREADABLE.upper(): 1})


# -- against another reader --------------------------------------------------------------------------------------------------------------


def _value(chosen, kind):
    """A random value of one type."""
    if chosen.random() < 0.2:
        return None
    if kind[0] == "list":
        return [_value(chosen, kind[1]) for _ in range(chosen.randrange(3))]
    if kind[0] == "object":
        return {name: _value(chosen, one) for name, one in kind[1].items() if chosen.random() < 0.9}
    return {
        "bool": chosen.random() < 0.5,
        "int": chosen.randint(-(2**63), 2**63 - 1),
        "double": chosen.uniform(-1, 1) * 10.0 ** chosen.randint(-300, 300),
        "string": "".join(chosen.choices('aé\n"\\\u2028\x00😀{}[]:, NaN', k=chosen.randrange(12))),
        "date": f"2024-01-{chosen.randint(1, 31):02} 00:00:00",
    }[kind[0]]


def _kind(chosen, depth=0):
    name = chosen.choice(["bool", "int", "double", "string", "date", *(["list", "object"] if depth < 3 else [])])
    if name == "list":
        return (name, _kind(chosen, depth + 1))
    return (name, {f"f{n}": _kind(chosen, depth + 1) for n in range(1, 4)} if name == "object" else None)


def _padded(value, kind):
    """With null for each key that is missing."""
    if value is None:
        return None
    if kind[0] == "list":
        return [_padded(one, kind[1]) for one in value]
    return {name: _padded(value.get(name), one) for name, one in kind[1].items()} if kind[0] == "object" else value


def test_20_000_lines_are_what_orjson_reads(spark, tmp_path):
    chosen = random.Random(5)
    kind = ("object", {f"c{n}": _kind(chosen) for n in range(12)})
    for mixed in (False, True):
        lines = []
        for n in range(20_000):
            row = {"n": n} | (_value(chosen, kind) or {})
            if mixed:
                row["mixed"] = chosen.choice([1, 2.5, "x", [1], {"a": None}])
            lines.append(json.dumps(row, ensure_ascii=chosen.random() < 0.5).encode())
        (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
        _, rows, unreadable = taken(jsonl.read(spark, "a", [str(tmp_path / "a.jsonl")]))
        assert unreadable == []
        for row, line in zip(rows, lines, strict=True):
            expected = orjson.loads(line)
            if mixed:
                text = expected["mixed"]
                assert row.pop("mixed") == (text if isinstance(text, str) else orjson.dumps(text).decode())
            assert row == {"n": expected["n"], **_padded(expected, kind)}


def _config(folder):
    return load(overrides=[f"root={folder / '_hub'}"])


def test_a_line_for_the_lenient_reader_keeps_its_large_integers():
    line = b'{"n": 9223372036854775807, "m": -9223372036854775808, "more": 9223372036854775808, "text": "\\ud800"}'
    assert jsonl._object(line) == {"n": 2**63 - 1, "m": -(2**63), "more": 2.0**63, "text": "?"}


@pytest.mark.parametrize("block_bytes", [8 << 20, 1])
@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([2**53 + 1, 0.5], "string", [str(2**53 + 1), "0.5"]),
        ([0.5, -(2**53) - 1, 2], "string", ["0.5", str(-(2**53) - 1), "2"]),
        ([2**53, -(2**53), 0.5], "double", [2.0**53, -(2.0**53), 0.5]),
        ([2**53 + 1, 1], "long", [2**53 + 1, 1]),
        ([[2**53 + 1], [0.5]], ["string"], [[str(2**53 + 1)], ["0.5"]]),
        ([{"a": 0.5}, {"a": 2**53 + 1}], {"a": "string"}, [{"a": "0.5"}, {"a": str(2**53 + 1)}]),
        ([0.1234567890123456789, 1234567890123456789.5, 1], "double", [0.1234567890123456789, 1234567890123456789.5, 1.0]),
    ],
)
def test_a_whole_number_that_a_double_cannot_hold_stays_exact(tmp_path, monkeypatch, values, kind, read, block_bytes):
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", block_bytes)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(orjson.dumps({"v": value}) for value in values))
    place, path = Place(str(tmp_path)), str(tmp_path / "a.jsonl")
    assert jsonl._kinds_of_file(place, path) == ({"v": kind}, None)
    parsed = jsonl._parsed(place, path, pa.schema([("v", jsonl._arrow_type(kind))]))
    assert [value for columns, _ in parsed for value in columns[0].to_pylist()] == read
