"""Each benchmark once, on few rows: it runs to its end and prints its figures. What they say at such a size means nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
HELPERS = {
    "common",
    "corpus",
    "dedup_jobs",
    "dedup_truth",
    "embedding_jobs",
    "embeddings",
    "ledger",
    "measure",
}  # others use them
ELSEWHERE = {"kills"}  # tests/test_command.py
SECONDS = 400
CASES = {
    "batch_kills": ("--kills 1 --calls 40 --size 10 --batch-seconds 2", r"1 kills, \d+ batches: 39 sold, 0 twice"),
    "calls": ("--calls 100 --new 20 --ledger 200 --base 0", r"anti-join of 20 new with a ledger of 200, core-seconds +\d+\.\d"),
    "dedup": ("--rows 300 --methods exact --base 15 --repeats 1", r"unverified 5x25 and components: \d+ removed, \d+ with no"),
    "embedding_dedup": ("--rows 400 --dimension 32 --base 0 --repeats 1", r"ours, warm +400 +-?\d+\.\d[^$]*\d+ true pairs"),
    "faults": ("--calls 60 --median 0.01", r"of the fault-free run: body \d\.\d+, util \d\.\d+"),
    "incremental": ("--rows 200 --methods exact --base 0", r"exact +200 +\d+\.\d"),
    "languages": ("--rows 300 --methods exact", r"exact +Chinese +300 CPU +\d+\.\d s, \d+\.\d\d of Latin"),
    "limits": ("places --calls 100 --places 8 --told 16 --median 0.01", r"body \d\.\d+ .* 429s \d+\.\d%"),
    "prompts": ("--pages 2 --parents 2 --examples 1", r"text-to-persona: 2 requests, kept 8; [^$]*\ntool: 1 requests, kept 1;"),
    "llm_stage": ("--calls 100 --places 8 --median 0.01", r"places busy, to the last request +\d\.\d+ +bare loop \d\.\d+"),
}
OF_A_KIND = ("faults", "--calls 60 --median 0.01 --like gemini", r"gemini +\d+ +\d+\.\d% +\d+ +0 ")


def test_each_benchmark_has_a_cheap_run_and_a_line_in_the_results():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert scripts == HELPERS | ELSEWHERE | CASES.keys()
    page = (BENCHMARKS / "RESULTS.md").read_text()
    assert [name for name in scripts if f"`{name}.py`" not in page] == []
    assert [
        name for name in scripts - HELPERS if f"`python benchmarks/{name}.py" not in page.replace("PERSONAHUB_ENGINE=spark ", "")
    ] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments", "figures"), [*((name, *case) for name, case in CASES.items()), OF_A_KIND])
def test_it_runs_and_prints_its_figures(name, arguments, figures, tmp_path):
    command = [sys.executable, BENCHMARKS / f"{name}.py", *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(figures, done.stdout), done.stdout + done.stderr
