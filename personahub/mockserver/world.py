"""Personas that the mock server's answers repeat: duplicates at a known rate, for dedup to find."""

import random
from dataclasses import dataclass

from personahub.mockserver.words import ADJECTIVES, OCCUPATIONS, PURSUITS, SETTINGS

DISTINCT = 40
_ONE_WORD = [adjective for adjective in ADJECTIVES if adjective.isalpha()]
_SUBJECTS = (
    "old maps|night trains|river floods|folk songs|school gardens|broken clocks|salt marshes|street markets|wooden boats|weather records"
).split("|")


@dataclass(frozen=True)
class World:
    """share: of the personas in answers, the part that are drawn from DISTINCT fixed ones, and so repeat.

    A repetition has the same words, its clauses in reverse order, or another adjective. Any two texts of one persona have a Jaccard
    similarity of at least 0.9, so that dedup finds them.
    """

    seed: int = 0
    share: float = 0.0

    def persona(self, rng: random.Random) -> str | None:
        """One of the fixed personas, or None: the caller makes a new one."""
        if rng.random() >= self.share:
            return None
        one = random.Random(f"{self.seed}/{rng.randrange(DISTINCT)}")
        adjective, occupation = one.choice(_ONE_WORD), one.choice(OCCUPATIONS)
        clauses = [
            f"{pursuit} {subject}" for pursuit, subject in zip(one.sample(PURSUITS, 3), one.sample(_SUBJECTS, 3), strict=True)
        ]
        setting, form = one.choice(SETTINGS), rng.randrange(3)
        if form == 1:
            clauses.reverse()
        if form == 2:
            adjective = rng.choice(_ONE_WORD)
        return f"A person known as {adjective}, by trade {occupation}, who {', '.join(clauses)}, {setting}, all year round."


NEW_EACH_TIME = World()
