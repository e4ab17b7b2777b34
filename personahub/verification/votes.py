"""What the answers of several solvers to one problem come to: a verdict, with what it rests on.

A solver may also say that the problem has no answer, because conditions are missing or contradict each other; that is a vote, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from personahub.verification.equivalence import Equivalence, equivalent

Conditions = Literal["complete", "missing", "contradictory"]
Outcome = Literal["agreed", "disputed", "unsolved", "contradictory", "invalid"]
Pair = tuple[int, int]  # positions of two votes, the lower one first
DECIDED = ("agreed", "contradictory", "invalid")  # no further vote is needed
JUDGE = "judge"
# the layers by which two votes were found equal, the surest first
_LAYERS = ("identical", "conditions", "choice", "name", "ratio", "interval", "number", "quantity", "sequence", "symbolic", JUDGE)


@dataclass(frozen=True, slots=True)
class Vote:
    """What one solver said of a problem. answer: None where it gave none, or where `conditions` are not complete.

    strength: the wall its program ran behind; None where it ran none.
    """

    solver: str
    method: str
    answer: str | None
    conditions: Conditions = "complete"
    strength: str | None = None

    @property
    def counts(self) -> bool:
        return self.answer is not None or self.conditions != "complete"


@dataclass(frozen=True, slots=True)
class Verdict:
    """outcome: agreed (on an answer); contradictory, invalid (on that there is none: conditions contradict each other, or are missing);
    disputed (enough votes, and not enough of them equal); unsolved (too few votes).

    answer: of the first of those who agree. agreed: the positions of their votes. layer: the least sure one that an agreement needed.
    compared: of each two votes, whether they are equal (None: nothing can tell) and by which layer.
    """

    outcome: Outcome
    answer: str | None
    agreed: tuple[int, ...]
    layer: str | None
    compared: Mapping[Pair, Equivalence]

    @property
    def decided(self) -> bool:
        return self.outcome in DECIDED


def compare(votes: Sequence[Vote], same: Callable[[str, str], Equivalence] = equivalent) -> dict[Pair, Equivalence]:
    """Each two votes that count, by position."""
    counting = [position for position, vote in enumerate(votes) if vote.counts]
    return {(a, b): _compare(votes[a], votes[b], same) for a, b in combinations(counting, 2)}


def _compare(a: Vote, b: Vote, same: Callable[[str, str], Equivalence]) -> Equivalence:
    if a.answer is None or b.answer is None:
        return Equivalence(a.answer is b.answer, "conditions")
    return same(a.answer, b.answer)


def verdict(votes: Sequence[Vote], min_agree: int, compared: Mapping[Pair, Equivalence]) -> Verdict:
    """The verdict on votes that were compared. An agreement is the one largest set of at least min_agree votes, each two of them equal;
    of two such sets neither holds. What nothing can tell equal is not equal.
    """
    counting = [position for position, vote in enumerate(votes) if vote.counts]
    agreed = _largest(counting, min_agree, compared)
    if agreed is None:
        return Verdict("disputed" if len(counting) >= min_agree else "unsolved", None, (), None, compared)
    layers = [compared[pair].layer for pair in combinations(agreed, 2)] or ["identical"]
    layer, answer = max(layers, key=_rank), votes[agreed[0]].answer
    return Verdict(_outcome([votes[position] for position in agreed]), answer, agreed, layer, compared)


def _largest(counting: Sequence[int], min_agree: int, compared: Mapping[Pair, Equivalence]) -> tuple[int, ...] | None:
    for size in range(len(counting), min_agree - 1, -1):
        found = [some for some in combinations(counting, size) if all(compared[pair].equal for pair in combinations(some, 2))]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _outcome(votes: Sequence[Vote]) -> Outcome:
    if votes[0].answer is not None:
        return "agreed"
    return "contradictory" if all(vote.conditions == "contradictory" for vote in votes) else "invalid"


def _rank(layer: str) -> int:
    return _LAYERS.index(layer) if layer in _LAYERS else _LAYERS.index("symbolic")


def undecided_pairs(found: Verdict) -> list[Pair]:
    """The pairs that a judge must compare before this verdict holds: none where it is decided, or where no rule has failed to tell."""
    return [] if found.decided else [pair for pair, one in found.compared.items() if one.equal is None]


def judged(compared: Mapping[Pair, Equivalence], said: Mapping[Pair, bool]) -> dict[Pair, Equivalence]:
    """The comparisons, with what the judge said of those that no rule could tell."""
    return {pair: Equivalence(said[pair], JUDGE) if one.equal is None and pair in said else one for pair, one in compared.items()}


def pattern(found: Verdict, votes: Sequence[Vote]) -> str:
    """Who gave the same answer as whom: `0,2|1`. A vote that nothing can compare with the others is left out: it tells no disagreement."""
    blocks: list[list[int]] = []
    for position in sorted(range(len(votes)), key=lambda position: (position not in found.agreed, position)):
        if votes[position].answer is None:
            continue
        same = [found.compared[min(block[0], position), max(block[0], position)].equal for block in blocks]
        if True in same:
            blocks[same.index(True)].append(position)
        elif None not in same:
            blocks.append([position])
    return "|".join(",".join(map(str, sorted(block))) for block in sorted(blocks, key=min))
