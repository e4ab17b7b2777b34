"""What the same personas cost in Latin letters, in Devanagari and in Chinese: whole commands of `personahub dedup`, their start included.

Each letter becomes a consonant of Devanagari, most with a vowel sign; each word becomes two Chinese characters, without spaces. Prints the
CPU of all processes, and its ratio to that of the Latin letters in the same run; exits 1 where one is above 2 (from 100,000 rows up: of
fewer the start is all that is measured).
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import corpus
import measure
import pyarrow as pa
import pyarrow.parquet as pq

GOAL = 2.0
_SIGNS = ("", "ा", "ि", "ी", "ु", "े")  # no vowel sign, and five
_DEVANAGARI = {chr(ord("a") + n): chr(0x0915 + n) + _SIGNS[n % len(_SIGNS)] for n in range(26)}


def in_devanagari(text: str) -> str:
    return "".join(_DEVANAGARI.get(letter, letter) for letter in text.lower())


def in_chinese(text: str) -> str:
    return "".join(map(_two_characters, text.lower().split()))


@cache
def _two_characters(word: str) -> str:
    number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
    return chr(0x4E00 + number % 8000) + chr(0x4E00 + (number >> 13) % 8000)


WAYS: dict[str, Callable[[str], str]] = {"Latin": str, "Devanagari": in_devanagari, "Chinese": in_chinese}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--methods", default="exact,minhash")
    given = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        table = corpus.generate(given.rows, seed=1)
        inputs = {name: Path(folder, f"{name}.parquet") for name in WAYS}
        for name, spelled in WAYS.items():
            texts = pa.array([spelled(text) for text in table["persona"].to_pylist()])
            pq.write_table(table.set_column(1, "persona", texts), inputs[name])
        for method in given.methods.split(","):
            latin = 0.0
            for name, path in inputs.items():
                out = Path(folder, f"{name}-{method}")
                command = [sys.executable, "-m", "personahub", "dedup", str(path), "--id-column", "id", "--out", str(out)]
                use = measure.measured([*command, "--set", f"dedup.lexical.method={method}"], Path(folder, "log"))
                latin = latin or use.cpu
                worst = max(worst, use.cpu / latin)
                print(
                    f"{method:8} {name:11} {given.rows:>10,} CPU {use.cpu:6.1f} s, {use.cpu / latin:.2f} of Latin; wall {use.wall:6.1f} s; "
                    f"engine {use.engine / 2**30:.2f} GiB, driver {use.driver / 2**30:.2f} GiB",
                    flush=True,
                )
    return int(worst > GOAL and given.rows >= 100_000)


if __name__ == "__main__":
    sys.exit(main())
