"""The tool on files: `personahub dedup` reads an input of one of three formats and leaves kept, duplicates and rejects in a folder."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pyspark.sql import functions as F

from personahub import engines, figures
from personahub.config import Config
from personahub.dedup.proof.audit import Finding, audit
from personahub.dedup.proof.neighbours import Near, Neighbours, near_texts, near_vectors, neighbours
from personahub.dedup_tool.frame import BROADCAST_ROWS, Counts, Deduplicated, comparable, for_columns, separate
from personahub.dedup_tool.input import Source, check_unchanged, complaints, detect, is_remote, read, stamps
from personahub.dedup_tool.results import RESULTS, Results, all_there
from personahub.dedup_tool.rows import with_ids
from personahub.dedup_tool.scratch import Scratch
from personahub.errors import InputError, Interrupted, PersonahubError
from personahub.storage.delta import Store


@dataclass(frozen=True)
class Request:
    """The arguments of the tool. id_column: None for ids from the text; vector_column: compare these, and not the texts."""

    input: str
    out: str
    text_column: str = "persona"
    id_column: str | None = None
    vector_column: str | None = None
    format: Literal["parquet", "delta"] = "parquet"
    overwrite: bool = False
    audit: bool = False


@dataclass(frozen=True)
class Summary:
    """The result. neighbours: of drawn rows, where the method may miss some; findings: of the audit, if it was asked for."""

    counts: Counts
    groups: tuple[figures.Group, ...]
    neighbours: Neighbours | None
    findings: tuple[Finding, ...]
    seconds: float


def check(request: Request, config: Config) -> Source:
    """Checks what needs no engine. Raises InputError, or ConfigError for settings and for the folder."""
    for_columns(config.dedup, request.vector_column)
    source = detect(request.input)
    _results(request).check(source)
    return source


def run(request: Request, config: Config, report: Callable[[str], None] = lambda _: None, *, verbose: bool = False) -> Summary:
    """Deduplicate the input and write the results; `report` is called with each step.

    Raises InputError for an input that cannot be used, ConfigError for settings and a folder that holds results, RootInUse where another
    run writes into it, Interrupted on Ctrl-C.
    """
    began = time.monotonic()
    source = check(request, config)
    results, written = _results(request), False
    try:
        with results.workplace():
            report("starting")
            spark = engines.open_session(config, verbose=verbose, job=engines.Job(bytes_read(source)))
            with engines.interruptible(spark):
                seen = stamps(source)
                frames = Scratch(Store(spark, Config(root=request.out)))
                results.root = frames.store.root
                results.check_remote(spark)
                done = _separated(frames, source, request, config, report)
                report("grouping")
                groups = figures.largest_groups(done.texts, done.duplicates) if done.counts.duplicates else ()
                measured = _measured(done, request, config)
                report("writing")
                with complaints(source):
                    results.publish(spark, done, partial(check_unchanged, source, seen))
                written = True
                findings: tuple[Finding, ...] = ()
                if request.audit:
                    report("auditing")
                    findings = tuple(_audit(frames, source, results, request, config))
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted: {request.out} " + ("holds all results" if written else "is as it was")) from None
    return Summary(done.counts, groups, measured, findings, time.monotonic() - began)


def _results(request: Request) -> Results:
    return Results(request.out, request.format, request.overwrite)


def _separated(frames: Scratch, source: Source, request: Request, config: Config, report: Callable[[str], None]) -> Deduplicated:
    rows, results = read(frames.store, source), _results(request)
    results.check_names(rows)
    # reading parquet again costs less than a copy; `publish` checks that it has not changed
    still = source.format == "parquet" and stamps(source) is not None and not results.remote
    columns = (request.text_column, request.id_column, request.vector_column)
    with complaints(source):
        done = separate(frames, rows, *columns, config.dedup, still=still, report=report)
    if not done.counts.rows:
        raise InputError(f"{request.input} holds no row: name a file or folder with at least one")
    return done


def _measured(done: Deduplicated, request: Request, config: Config) -> Neighbours | None:
    """What methods that may miss pairs have missed, in a sample."""
    near: Near
    if request.vector_column is not None:
        column, near = "vector", partial(near_vectors, config.dedup.semantic.threshold)
    elif config.dedup.lexical.method == "exact":
        return None
    else:
        column, near = "text", partial(near_texts, config.dedup.lexical)
    removed, rejects = done.duplicates.select("id"), done.rejects.where(F.col("id").isNotNull()).select("id")
    if done.counts.rows - done.counts.kept <= BROADCAST_ROWS:
        removed, rejects = F.broadcast(removed), F.broadcast(rejects)
    return neighbours(done.compared, column, removed, rejects, near)


def _audit(frames: Scratch, source: Source, results: Results, request: Request, config: Config) -> Iterator[Finding]:
    """Of the input and the results, both read again."""
    spark = frames.store.spark
    staged = frames.materialise(with_ids(read(frames.store, source), request.text_column, request.id_column), "audit.input")
    kept, duplicates, rejects = (results.load(spark, name) for name in RESULTS)
    if kept is None or duplicates is None:
        raise PersonahubError(f"the results in {request.out} have disappeared: run the command again")
    rejects = duplicates.select("id").limit(0) if rejects is None else rejects
    yield all_there(staged, kept, duplicates, rejects)
    rows = comparable(staged.where(F.col("unreadable").isNull()), request.text_column, request.vector_column)
    yield from audit(rows, duplicates, rejects, for_columns(config.dedup, request.vector_column), frames.materialise)


def bytes_read(source: Source) -> int | None:
    """The size of the files of an input; None if some are remote."""
    return None if any(is_remote(file) for file in source.files) else sum(map(_size, source.files))


def _size(path: str) -> int:
    place = Path(path)
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) if place.is_dir() else place.stat().st_size
