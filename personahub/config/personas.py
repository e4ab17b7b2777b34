"""`personas`: which personas are refused, whatever they were made from."""

from personahub.config.values import Count, Language, Settings


class PersonaFilters(Settings):
    min_words: Count = 3
    max_words: Count = 120
    unsafe: bool = True
    names: bool = True
    languages: tuple[Language, ...] = ()


class Personas(Settings):
    filters: PersonaFilters = PersonaFilters()
