"""How many of the answers that solvers agree on are right, estimated from how often they agree; nobody tells which are right.

The model is Dawid and Skene's (1979), for answers not chosen from a list: solver i is right with probability p_i; who is wrong gives the
one popular wrong answer of the problem with probability c, else one that nobody else gives. Only who said the same as whom is seen. A
third solver is often asked only where two disagree; then the rates alone do not determine p and c, and a bootstrap of their best fit would
claim more than is known. So the interval is that of the posterior, sampled with a seed. Beforehand p_i is uniform, c has the density
2 (1 - c), and the right answer is for each solver more likely than the popular wrong one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

Blocks = tuple[tuple[int, ...], ...]  # positions of solvers that said the same, together
_Floats = NDArray[np.float64]
_CHAINS, _STEPS, _WARM = 48, 240, 90
_SPREAD = 1e-3  # of a step, beside the difference of two chains


@dataclass(frozen=True, slots=True)
class Precision:
    """The share of right ones among the agreed answers: its estimate, and the bounds of an interval of `level`. agreed: how many."""

    estimate: float
    low: float
    high: float
    agreed: int
    level: float = 0.95


def read_pattern(pattern: str) -> Blocks:
    """`0,2|1` -> ((0, 2), (1,)). See `votes.pattern`."""
    return tuple(tuple(map(int, block.split(","))) for block in pattern.split("|") if block)


def precision_of_agreed(
    patterns: Mapping[str, int], min_agree: int = 2, *, level: float = 0.95, seed: int = 1
) -> Precision | None:
    """How often each pattern of `votes.pattern` was seen -> the precision of the answers on which min_agree or more agree.

    None where nobody agrees. The estimate is the posterior's median; what is estimated is the share in these problems, not in all that
    could be.
    """
    counts = {read_pattern(name): count for name, count in patterns.items() if count and name}
    agreeing = {blocks: max(blocks, key=len) for blocks in counts if max(map(len, blocks)) >= min_agree}
    agreed = sum(counts[blocks] for blocks in agreeing)
    if not agreed:
        return None
    rng = np.random.default_rng(seed)
    solvers = 1 + max(position for blocks in counts for block in blocks for position in block)
    draws = _posterior(counts, solvers, rng)
    right = np.zeros(len(draws))
    for blocks, block in agreeing.items():
        likely, all_ways = _ways(draws, blocks, block), _ways(draws, blocks, None)
        right += rng.binomial(counts[blocks], np.clip(likely / all_ways, 0, 1))
    low, middle, high = np.quantile(right / agreed, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return Precision(float(middle), float(low), float(high), agreed, level)


def _ways(parameters: _Floats, blocks: Blocks, right: tuple[int, ...] | None) -> _Floats:
    """The probability of these blocks under each row of parameters (p_0, ..., c); right: only where that block is right."""
    p, c = parameters[:, :-1], parameters[:, -1:]
    popular, own = (1 - p) * c, (1 - p) * (1 - c)
    none: tuple[int, ...] = ()
    total = np.zeros(len(parameters))
    for good in (none, *blocks) if right is None else (right,):
        for bad in (none, *blocks):
            if bad and bad == good:
                continue
            rest = [block for block in blocks if block not in (good, bad)]
            if any(len(block) > 1 for block in rest):
                continue
            alone = [block[0] for block in rest]
            total += p[:, good].prod(axis=1) * popular[:, bad].prod(axis=1) * own[:, alone].prod(axis=1)
    return total


def _log_posterior(parameters: _Floats, counts: Mapping[Blocks, int]) -> _Floats:
    inside = ((parameters > 0) & (parameters < 1)).all(axis=1)
    safe = np.clip(parameters, 1e-9, 1 - 1e-9)
    p, c = safe[:, :-1], safe[:, -1:]
    inside &= (p > (1 - p) * c).all(axis=1)
    total = np.log(1 - c[:, 0])
    for blocks, count in counts.items():
        total += count * np.log(np.maximum(_ways(safe, blocks, None), 1e-300))
    return np.where(inside, total, -np.inf)


def _posterior(counts: Mapping[Blocks, int], solvers: int, rng: np.random.Generator) -> _Floats:
    """Draws of (p_0, ..., c): Metropolis steps of many chains, each step the difference of two others (ter Braak 2006)."""
    score = partial(_log_posterior, counts=counts)
    chains = np.column_stack([rng.uniform(0.5, 1, (_CHAINS, solvers)), rng.uniform(0, 1, _CHAINS)])
    scores, kept = score(chains), []
    width = 2.38 / np.sqrt(2 * (solvers + 1))
    for step in range(_STEPS):
        first, second = chains[rng.permutation(_CHAINS)], chains[rng.permutation(_CHAINS)]
        jump = (1.0 if step % 10 == 9 else width) * (first - second)
        proposed = chains + jump + rng.normal(0, _SPREAD, chains.shape)
        reached = score(proposed)
        taken = np.log(rng.random(_CHAINS)) < reached - scores
        chains = np.where(taken[:, None], proposed, chains)
        scores = np.where(taken, reached, scores)
        if step >= _WARM and step % 5 == 0:
            kept.append(chains)
    return np.concatenate(kept)
