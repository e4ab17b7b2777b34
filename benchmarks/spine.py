"""The whole spine, documents to examples, at an endpoint that answers at once: personas a second and core, and each stage's share.

    python benchmarks/spine.py [--documents 10000] [--base 1000] [--seed 1]

A run of --base documents is subtracted, so that what the engine's start costs is not in it. CPU: driver, engine and workers, not the
simulated server. The documents are generated (RedPajama-V2, words by Zipf's law), the answers simulated: nothing here is a model's
figure. Linux.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common import Figure, command, machine, print_table, rows_of, settings
from measure import Use, measured
from reader import lay_out

from personahub import mockserver

BASE = 1000  # documents of the run that is subtracted; 0: none is
FILES = 4
MEGABYTES = 7.0  # of a file, for a thousand documents and some to spare


@dataclass(frozen=True)
class Run:
    personas: int
    examples: int
    seconds: dict[str, float]  # by stage
    use: Use


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--base", type=int, default=BASE, help="documents of the run that is subtracted; 0: none is")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"seed {given.seed}; {machine()}", flush=True)
    print_table(figures(given.documents, given.seed, given.base))


def figures(documents: int = 10_000, seed: int = 1, base: int = BASE) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        there = lay_out(tree, FILES, MEGABYTES * documents / 1000 / FILES, seed)
        if there < documents:
            raise RuntimeError(f"only {there} documents were generated")
        few = _run(Path(folder) / f"hub-{base}", tree, base, seed) if base else None
        run = _run(Path(folder) / f"hub-{documents}", tree, documents, seed)
    more, cpu, personas, examples, seconds = documents, run.use.cpu, run.personas, run.examples, run.seconds
    if few is not None:
        more, cpu, personas, examples = more - base, cpu - few.use.cpu, personas - few.personas, examples - few.examples
        seconds = {stage: took - few.seconds[stage] for stage, took in seconds.items()}
    found = [
        Figure("documents, personas, examples", f"{more:,}, {personas:,}, {examples:,}"),
        Figure("personas a second and core, to their examples", f"{personas / cpu:.1f}"),
        Figure("personas a second", f"{personas / sum(seconds.values()):.1f}"),
    ]
    return found + [
        Figure(f"share of {stage}", f"{took / sum(seconds.values()):.0%}", f"{took:.1f} s") for stage, took in seconds.items()
    ]


def _run(root: Path, tree: Path, documents: int, seed: int) -> Run:
    with mockserver.start(port=0, capacity=10_000, median=0.0, sigma=0.0, seed=seed) as server:
        corpus = {"documents.path": tree, "documents.max_documents": documents}
        arguments = settings(root, server, **corpus, **{"models.default.max_concurrent_requests": 64})
        use = measured(command("run", "--yes", *arguments), root.with_suffix(".log"))
    counts = {table: len(rows_of(root, table, [])) for table in ("personas", "examples")}
    seconds = {row["stage"]: row["seconds"] for row in rows_of(root, "runs", ["stage", "seconds"])}
    print(f"{documents} documents: {use.wall:.0f} s, CPU {use.cpu:.0f} s, {counts}", flush=True)
    return Run(counts["personas"], counts["examples"], seconds, use)


if __name__ == "__main__":
    main()
