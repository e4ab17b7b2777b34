"""Does a persona name a real person? A heuristic on the form of names, no judgement of who is public and who is private.

It objects where a full name (a title or a given name, and a family name, in capitals of an alphabet that has them) is the one described
("Maria Gonzalez, a nurse"), stands after `named`, or is someone's relative, friend, colleague, patient and the like ("a sister of Maria
Gonzalez"). Whom a persona only admires, studies or quotes may be named. Of 2,500 published personas it finds a name in 35; read one by one,
each is a person's full name, some of them public figures'. It misses single names and those in scripts other than Latin and Cyrillic.
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
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"^(?!{_ARTICLE}\s)(?:{_TITLE}\s+)?{_FULL}(?=\s*(?:,|\(|\b(?:is|was|has|works|runs|teaches|lives)\b))",
        rf"\b(?:named|called|by the name of)\s+(?:{_TITLE}\s+{_PART}|{_FULL})",
        rf"\b{_KIN}\s+(?:of|to|with)\s+(?:{_TITLE}\s+{_PART}|{_FULL})",
        rf"\b{_FULL}['’]s\s+(?:\w+\s+)?{_KIN}\b",
    )
)


def person_named(persona: str) -> str | None:
    """The words in which a person is named, or None."""
    for pattern in _PATTERNS:
        if found := pattern.search(persona):
            return found.group()
    return None
