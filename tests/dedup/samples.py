"""Few texts, much alike: what the tests of deduplication compare."""

import random

WORDS = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("ar", "en", "ilo", "ow", "undi")]


def texts(count: int, seed: int, longest: int = 30) -> list[str | None]:
    """Copies with a few words changed, in chains and families, among texts of their own; some without a word, some not ASCII."""
    draw = random.Random(seed)
    made: list[str] = []
    while len(made) < count:
        if not made or draw.random() < 0.3:
            made.append(" ".join(draw.choices(WORDS, k=draw.randint(1, longest))))
            continue
        words = draw.choice(made[-30:]).split()
        for _ in range(draw.choice([0, 1, 1, 2, 3])):
            place = draw.randrange(len(words) + 1)
            words[place : place + draw.choice([0, 1, 1])] = draw.choices([*WORDS, "café", "東京"], k=draw.choice([0, 1, 1]))
        made.append(draw.choice([str, str.upper, str.title])(" ".join(words)) or "lone")
    strange = {draw.randrange(count): text for text in (None, "", " ?! ", "—")}
    return [strange.get(place, text) for place, text in enumerate(made)]


def rows(count: int, seed: int, longest: int = 30) -> list[tuple[int, str, str | None]]:
    """(level, id, text)."""
    draw = random.Random(seed)
    return [(draw.choice([1, 1, 2, 3]), f"{draw.randrange(16**12):012x}", text) for text in texts(count, seed, longest)]
