"""Each benchmark once, on few rows: it runs to its end and prints its figures. What they say at such a size means nothing."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
HELPERS = {"common", "dedup_plan", "dedup_truth", "embeddings", "kill_trial", "measure"}  # imported by the others, not run
SECONDS = 400
# NEW and OUT are paths that are not there yet, CORPUS and VECTORS files of a few hundred rows
# of the seed 31 the kill falls at once when all is asked, before a fast run has ended
CASES = {
    "bare_purchase": (["make", "NEW", "root=OUT"], r"0 requests lie in "),  # `buy` is part of synthesis_cost
    "bench": (
        "--calls 100 --places 8 --median 0.01 --parts llm_stage",  # the others are calls and spine
        r"places busy, to the last request +\d\.\d+ +bare loop \d\.\d+",
    ),
    "calls": ("--calls 100 --new 20 --ledger 200 --base 0", r"anti-join of 20 new with a ledger of 200, core-seconds +\d+\.\d"),
    "conversation_kills": ("--kills 1 --people 10 --turns 1 --seed 31", r"one more run: 0 requests"),
    "corpus": (["--rows", "300", "--out", "NEW"], r"300 personas, seed 1, \d"),
    "dedup": (
        "--rows 300 --peer-rows 200 --mllib-rows 0 --methods exact --peers datasketch,rensa --base 0 --repeats 1",
        r"datasketch +200 +\d+\.\d[^$]*text -> 128-permutation signature, one core, ASCII: \d+\.\d\d us",
    ),
    "dedup_jobs": (["exact", "NEW", "CORPUS"], r"exact: CPU s \d+\.\d\d"),
    "dedup_partitions": ("--rows 300 --methods exact,semantic --partitions 1,3", r"semantic +3 +\d+ +\d+ +0\n"),
    "dedup_peers": (["text-dedup", "CORPUS", "NEW.npz"], r"text-dedup: \d+ pairs, \d+ of 300 rows removed"),
    "embedding_dedup": ("--rows 400 --dimension 32 --base 0 --repeats 1", r"semdedup +400 +\d+\.\d[^$]*\d+ true pairs"),
    "embedding_jobs": (["ours", "VECTORS", "NEW.npz"], r"ours: \d+ pairs, \d+ of 300 rows removed"),
    "executor_kills": ("--kills 1 --calls 200 --places 8 --requests-per-commit 25", r"one more run: 0 requests"),
    "faults": ("--calls 60 --median 0.01", r"of the fault-free run: body \d\.\d+, util \d\.\d+"),
    "hop_kills": ("--kills 1 --people 10 --hops 1 --seed 31", r"one more run: 0 requests"),
    "hops": ("--parts six --people 20 --hops 1 --preview 2", r"bought twice: 0; a second run: 0 requests"),
    "incremental": ("--rows 200 --methods exact --base 0", r"exact +200 +\d+\.\d"),
    "kills": ("--kills 1 --calls 100 --places 16 --requests-per-commit 25", r"one more run: 0 requests"),
    "ledger": (["NEW", "200"], r"200 answers"),
    "limits": ("places --calls 100 --places 8 --told 16 --median 0.01", r"body \d\.\d+ .* 429s \d+\.\d%"),
    "llm_stage": ("--calls 100 --places 8 --median 0.01", r"places busy, to the last request +\d\.\d+ +bare loop \d\.\d+"),
    "reader": ("--files 2 --megabytes 0.2 --rounds 1", r"without filters \d+\.\d\d of the loop's MB/s"),
    "spine": ("--documents 60 --base 0", r"personas a second and core, to their examples +\d+\.\d"),
    "synthesis_cost": ("--calls 60 --base 0 --prompts zero_shot", r"math, zero_shot: CPU ms a call +\d+\.\d+ .* of it"),
    "tasks": ("--people 10 --modes zero_shot", r"tool +zero_shot +10 +\d+ +\d+"),
}
SLOW = {"conversation_kills", "executor_kills", "faults", "hop_kills", "hops", "kills"}
OF_SPARK = {"executor_kills"}  # what the embedded engine has not
PEERS = {"dedup": ["rensa"], "embedding_dedup": ["faiss"]}  # left out, and said so, where they are not installed
WITH_SPARK = os.environ.get("PERSONAHUB_ENGINE") == "spark" and find_spec("pyspark.sql.classic") is not None


def test_each_benchmark_has_a_cheap_run():
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert scripts == HELPERS | CASES.keys()
    commands = {name for name in scripts if '__name__ == "__main__"' in (BENCHMARKS / f"{name}.py").read_text()}
    assert commands == CASES.keys()


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    paths = {"CORPUS": folder / "personas.parquet", "VECTORS": folder / "vectors.parquet"}
    code = (
        "import sys, corpus, embeddings; from pathlib import Path; corpus.write(Path(sys.argv[1]), 300, 1); "
        "embeddings.write(Path(sys.argv[2]), 300, 32, 1)"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, paths.values())], check=True, cwd=BENCHMARKS)
    return paths


def marked(name):
    marks = [pytest.mark.slow] if name in SLOW else []
    if name in OF_SPARK:
        marks += [pytest.mark.spark, pytest.mark.skipif(not WITH_SPARK, reason="needs Spark: make test-spark")]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_it_runs_and_prints_its_figures(name, corpora, tmp_path):
    arguments, figures = CASES[name]
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    places = corpora | {"NEW": tmp_path / "new", "OUT": tmp_path / "out"}
    for word, path in places.items():
        arguments = [argument.replace(word, str(path)) for argument in arguments]
    command = [sys.executable, BENCHMARKS / f"{name}.py", *arguments]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(figures, done.stdout), done.stdout + done.stderr
    for peer in PEERS.get(name, []):
        assert (f"{peer} is not installed: pip install" in re.sub(" +", " ", done.stdout)) == (find_spec(peer) is None)


@pytest.mark.skipif(find_spec("pyspark.sql.classic") is not None, reason="the whole of Spark is installed")
def test_what_needs_spark_says_so_in_a_line():
    done = subprocess.run([sys.executable, BENCHMARKS / "executor_kills.py"], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "executor_kills.py kills executors, which the embedded engine has not: pip install 'personahub[spark]'"
    ]


@pytest.mark.parametrize(("peer", "script"), [("faiss", "embedding_jobs"), ("rensa", "dedup_peers")])
def test_a_peer(peer, script, corpora, tmp_path):
    pytest.importorskip(peer, reason=f"{peer} is not installed: pip install 'personahub[peers]'")
    source = corpora["VECTORS" if peer == "faiss" else "CORPUS"]
    command = [sys.executable, BENCHMARKS / f"{script}.py", peer, source, tmp_path / "out.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{peer}: \d+ pairs, \d+ of 300 rows removed", done.stdout)
