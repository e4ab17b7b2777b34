"""Does a persona name a real person? A heuristic on the form of names, no judgement of who is public and who is private.

It objects where a full name (a title or a given name, and a family name, in capitals of an alphabet that has them) is the one described
("Maria Gonzalez, a nurse"), stands after `named`, or is someone's relative, friend, colleague, patient and the like ("a sister of Maria
Gonzalez"). Whom a persona only admires, studies or quotes may be named, and so may an occupation in capitals ("Marine Biologist, ...") and
an institution ("Doctors Without Borders"): these are told by English words. Of 2,500 published personas it finds a name in 35; read one by
one, each is a person's full name, some of them public figures'. It misses single names and those in scripts other than Latin and Cyrillic,
and takes a firm that bears people's names ("a client of Goldman Sachs") for a person.
"""

import re

# one way only to match each name, or a long word takes time quadratic in its length
_LATIN = r"[A-ZÀ-ÖØ-ÞĆČĐĞİŁŃŘŚŞŠŤŹŽ][a-zß-ɏ'’-]*(?:[a-zß-ɏ]|[A-Z][A-Za-zß-ɏ]*)"
_CYRILLIC = r"[А-ЯЁ][а-яё-]*(?:[а-яё]|[А-Я][А-Яа-яё]*)"
_PARTICLE = r"(?:[A-Z]\.|de|da|dos|del|della|di|van|von|der|den|ten|bin|bint|ibn|al|el|la|le|y)"
_PART = rf"(?:{_LATIN}|{_CYRILLIC})"
_FULL = rf"(?:{_LATIN}\s+(?:{_PARTICLE}\s+){{0,2}}{_LATIN}|{_CYRILLIC}\s+{_CYRILLIC})"
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Doctor|Herr|Frau|Señora?|Monsieur|Madame)\.?"
_ARTICLE = r"(?:An?|The|This|Some|One|Eine?|Der|Die|Das|Une?|Una|Uno|Un|Il|La|Le|El|Los|Las|Um|Uma|En|Ett?|My|Your|Our)"
_KIN = (
    r"(?:wife|husband|spouse|partner|fiancée?|sister|brother|sibling|mother|father|parent|daughter|son|child|cousin|aunt|uncle|nephew|"
    r"niece|grand\w+|widower|widow|relative|friend|neighbou?r|colleague|co-?worker|room-?mate|flat-?mate|class-?mate|team-?mate|"
    r"assistant|secretary|nurse|carer|caregiver|patient|client|tenant|landlord|boss|apprentice|acquaintance|supervisor)s?"
)
_OCCUPATIONS = frozenset(
    """accountant activist actor actress administrator adviser advisor advocate agent analyst architect artist assistant associate athlete
    attorney author blogger broker buyer captain chemist clerk coach collector commissioner consultant contractor coordinator
    counselor counsellor critic curator dentist designer developer director doctor driver editor educator engineer enthusiast
    entrepreneur executive expert fan farmer founder guide historian hobbyist instructor investigator investor journalist lawyer
    leader lecturer librarian linguist lover maker manager mechanic member merchant midwife musician nurse officer official operator
    organiser organizer owner painter paramedic parent physicist pilot planner player poet practitioner professional professor
    programmer ranger reporter representative researcher scholar scientist secretary specialist strategist student supervisor
    surgeon teacher technologist trader trainer translator tutor veteran veterinarian volunteer worker writer""".split()
)
_OCCUPATION_ENDINGS = ("ologist", "ographer", "onomist", "iatrist", "therapist", "ician", "armacist")
_INSTITUTIONS = frozenset(
    """academy agency airlines association bank capital church city club college committee company corporation council department
    foundation fund group high holdings hospital hotel inc industries institute insurance labs league ltd media ministry motors
    museum office partners police press records school services society states studio studios systems team technologies union united
    university without""".split()
)
_CAPITALS = re.compile(rf"{_PART}(?:\s+{_PART})*")
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^(?!{_ARTICLE}\s)(?:{_TITLE}\s+)?(?P<name>{_FULL})(?=\s*(?:,|\(|\b(?:is|was|has|works|runs|teaches|lives)\b))",
        rf"\b(?:named|called|by the name of)\s+(?P<name>{_TITLE}\s+{_PART}|{_FULL})",
        rf"\b{_KIN}\s+(?:of|to|with)\s+(?P<name>{_TITLE}\s+{_PART}|{_FULL})",
        rf"\b(?P<name>{_FULL})['’]s\s+(?:\w+\s+)?{_KIN}\b",
    )
)


def person_named(persona: str) -> str | None:
    """The words in which a person is named, or None."""
    for pattern in _PATTERNS:
        for found in pattern.finditer(persona):
            if not _is_something_else(persona, found["name"], found.start("name")):
                return found.group()
    return None


def _is_something_else(persona: str, name: str, start: int) -> bool:
    """Whether the words in capitals that begin with the name are those of an occupation or an institution."""
    run = _CAPITALS.match(persona, start)
    words = [word.casefold() for word in (run[0] if run else name).split()]
    last = words[-1].removesuffix("s")
    return last in _OCCUPATIONS or last.endswith(_OCCUPATION_ENDINGS) or not _INSTITUTIONS.isdisjoint(words)
