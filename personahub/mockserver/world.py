"""Personas that the mock server's answers repeat: duplicates at a known rate, as a small world makes them. A simulation, too."""

import random
from dataclasses import dataclass

from personahub.mockserver.words import ADJECTIVES, OCCUPATIONS, PURSUITS, SETTINGS

PEOPLE = 40
_ONE_WORD = [adjective for adjective in ADJECTIVES if adjective.isalpha()]
_SUBJECTS = (
    "old maps|night trains|river floods|folk songs|school gardens|broken clocks|salt marshes|street markets|wooden boats|weather records"
).split("|")


@dataclass(frozen=True)
class World:
    """`share` of all personas are one of PEOPLE, told in the same words, in the same words in another order, or with one word changed.

    From the first PEOPLE of these on nearly each is a duplicate: near enough for a Jaccard similarity of 0.9 of any two that tell of one.
    """

    seed: int = 0
    share: float = 0.0

    def person(self, rng: random.Random) -> str | None:
        """None: somebody new, for the rest of the personas."""
        if rng.random() >= self.share:
            return None
        one = random.Random(f"{self.seed}/{rng.randrange(PEOPLE)}")
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
