"""`personas`: which personas are refused, whatever they were made from."""

from personahub.config.values import Count, Settings


class PersonaFilters(Settings):
    min_words: Count = 3
    max_words: Count = 120
    unsafe: bool = True
    names: bool = True
    languages: tuple[str, ...] = ()


class Personas(Settings):
    filters: PersonaFilters = PersonaFilters()
