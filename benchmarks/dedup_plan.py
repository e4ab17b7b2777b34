"""A plan for 1,000,000,000 personas, from what was measured at two sizes. Nothing of it was run."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_jobs import Run

from personahub.config import LexicalDedup
from personahub.dedup import shared_keys
from personahub.dedup.arrow_columns import packed
from personahub.dedup.kernels import minhash, partenum
from personahub.dedup.kernels.buckets import bucket_pairs
from personahub.dedup.kernels.sets import TOKEN_BYTES, TokenSets, take

GOAL = 1_000_000_000
_SAMPLE = 100_000
_ROW_BYTES = 52  # of a keyed row in a bundle, its tokens left out: key, level, size, and an id of 32 characters


def show(runs: dict[str, list[Run]], sets: TokenSets, threshold: float) -> None:
    """`sets` in the order of the ids, which are random: any run of them is a sample.

    Costs and bytes go by the slope between the two sizes; comparisons, which grow with the square, by their counts at the two sizes.
    Both sizes are measured with a filter of shared keys; where these are too many for one, all keyed rows travel.
    """
    print(f"\nplan for {GOAL:,} personas, extrapolated from {' and '.join(f'{run.rows:,}' for run in next(iter(runs.values())))}")
    for method, (small, large) in runs.items():
        settings = LexicalDedup(method=method, threshold=threshold)
        slope = (large.seconds - small.seconds) / (large.rows - small.rows)
        shuffle, out = (
            (getattr(large, kind) - getattr(small, kind)) / (large.rows - small.rows) for kind in ("shuffled", "stored")
        )
        few, many = (candidates(take(sets, np.arange(run.rows)), settings) for run in (small, large))
        square = max(0.0, (many / large.rows - few / small.rows) / (large.rows - small.rows))
        keys, key_bytes = _keys(sets, settings)
        nanos = _nanoseconds(sets, settings)
        compared = square * GOAL**2
        reach = shared_keys.MAX_KEYS * large.rows / max(_repeated(take(sets, np.arange(large.rows)), settings), 1)
        whole = keys * (_ROW_BYTES + TOKEN_BYTES * sets.sizes.mean()) + _ROW_BYTES + TOKEN_BYTES
        print(
            f"{method:8} {slope * GOAL / 3600:8.1f} core-hours at {slope * 1e6:.1f} us a persona\n"
            f"{'':8} {compared * nanos * 1e-9 / 3600:8.1f} core-hours more at most, if every bucket were compared in full: {compared:.1e} "
            f"comparisons at {nanos:.0f} ns\n"
            f"{'':8} {shuffle * GOAL / 1e12:8.2f} TB shuffled, {shuffle:.0f} bytes a persona ({keys:.1f} keys), with a filter: up "
            f"to {reach / 1e6:.0f} million personas\n"
            f"{'':8} {whole * GOAL / 1e12:8.2f} TB shuffled, {whole:.0f} bytes a persona at most, without one\n"
            f"{'':8} {out * GOAL / 1e12:8.2f} TB written as kept and duplicates, {out:.0f} bytes a persona\n"
            f"{'':8} {key_bytes * GOAL / 1e12:8.2f} TB more where a hub stores its keys for later batches, {key_bytes:.0f} bytes a persona"
        )


def candidates(sets: TokenSets, settings: LexicalDedup) -> int:
    """Pairs of rows with one key, repeats counted."""
    keys = np.sort(_made(sets, settings)[1])
    bounds = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1], True])
    sizes = np.diff(bounds)
    return int((sizes * (sizes - 1) // 2).sum())


def _repeated(sets: TokenSets, settings: LexicalDedup) -> int:
    """How many keys more than one row has."""
    return int((np.unique(_made(sets, settings)[1], return_counts=True)[1] > 1).sum())


def _made(sets: TokenSets, settings: LexicalDedup) -> tuple[np.ndarray, np.ndarray]:
    if settings.method == "exact":
        return partenum.exact_keys(sets, settings.threshold)
    bands, rows = minhash.choose_bands(settings.threshold, settings.num_perm, settings.min_recall)
    parts = [take(sets, np.arange(at, min(at + _SAMPLE, len(sets)))) for at in range(0, len(sets), _SAMPLE)]
    keys = [minhash.band_keys(minhash.signatures(part, settings.num_perm, settings.seed), bands, rows) for part in parts]
    return np.repeat(np.arange(len(sets)), bands), np.concatenate(keys)


def _keys(sets: TokenSets, settings: LexicalDedup) -> tuple[float, float]:
    """Keys a persona, and the bytes that they take as rows of `lexical_index` (a sample, as parquet)."""
    rows = min(_SAMPLE, len(sets))
    sample = take(sets, np.arange(rows))
    row, key = _made(sample, settings)
    digits = np.random.default_rng(1).bytes(16 * rows).hex()
    ids = pa.array([digits[32 * at : 32 * at + 32] for at in range(rows)])
    counts, whole = np.bincount(row, minlength=rows), np.arange(2)
    columns = {
        "persona_ids": pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), ids),
        "counts": packed(counts.astype(np.int32), whole * rows),
        "keys": packed(key[np.argsort(row, kind="stable")], whole * len(key)),
        "sizes": packed(sample.sizes.astype(np.int32), whole * rows),
        "tokens": packed(sample.values, whole * len(sample.values)),
    }
    with TemporaryDirectory() as folder:
        file = Path(folder) / "keys.parquet"
        pq.write_table(pa.table(columns), file, compression="snappy")
        return len(key) / rows, file.stat().st_size / rows


def _nanoseconds(sets: TokenSets, settings: LexicalDedup) -> float:
    """What a pair of rows with one key costs to compare, in the buckets of a sample."""
    sample = take(sets, np.arange(min(_SAMPLE, len(sets))))
    rows, keys = _made(sample, settings)
    order = np.lexsort((rows, keys))
    shared = np.r_[keys[order][1:] == keys[order][:-1], False]
    order = order[shared | np.r_[False, shared[:-1]]]
    members, starts = take(sample, rows[order]), np.flatnonzero(np.r_[True, keys[order][1:] != keys[order][:-1], True])
    for _ in range(2):  # the first is for the compiler
        began = time.process_time()
        bucket_pairs(starts, members, np.zeros(len(members), np.bool_), settings.threshold)
        seconds = time.process_time() - began
    return seconds * 1e9 / candidates(sample, settings)
