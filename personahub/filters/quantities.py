"""Does a text name any quantity: a digit, a number in words, a unit of counting, a symbol or variable of mathematics?

Number words of English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Chinese, Japanese and Korean.
"""

import re

NUMBERED = frozenset(("en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko"))  # languages of these words
_DIGITS = re.compile(
    r"\d|[½⅓¼¾⅔%‰]|[一二三四五六七八九十百千万萬億半两兩倍零]|[일이삼사오육칠팔구십백천만]\s?(?:개|명|번|배|시간|원|일)|하나|둘|셋|넷|다섯"
)
_SYMBOLS = re.compile(
    r"[=<>≤≥≠∑∫√∞∈∀∃±×÷^$]|\\\(|\\\[|(?<![\w'’])(?!a\b|i\b)[b-hj-z](?![\w'’.])"
)  # x, n: no letter that is a word
_WORDS = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    r"hundred|thousand|million|billion|half|halves|third|quarter|dozen|twice|thrice|double|doubles|doubled|triple|triples|tripled|pair|couple|"
    r"percent|per cent|once|"
    r"eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|\w+zehn|\w+(?:zig|ßig)|hundert|tausend|hälfte|halb\w*|drittel|viertel|"
    r"dutzend|doppel\w*|doppelt\w*|\w*mal|prozent|"
    r"deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|vingt|trente|quarante|cinquante|soixante|cent|mille|moitié|demi\w*|tiers|quart|"
    r"douzaine|double|"
    r"dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|veinte|treinta|cuarenta|cincuenta|cien\w*|mil|mitad|medi[oa]|tercio|docena|"
    r"doble|"
    r"due|tre|quattro|cinque|sei|sette|otto|nove|dieci|undici|dodici|venti|trenta|cento|metà|mezz[oa]|dozzina|doppi[oa]|"
    r"dois|duas|três|quatro|sete|oito|dez|doze|vinte|trinta|cem|metade|meia|meio|dúzia|dobro|"
    r"twee|drie|vijf|zes|zeven|negen|tien|twaalf|twintig|honderd|duizend|helft|kwart|dozijn|dubbel\w*|"
    r"dwa|dwie|dwóch|trzy|trzech|cztery|pięć|sześć|siedem|osiem|dziewięć|dziesięć|sto|tysiąc|połow\w+|pół|tuzin|"
    r"дв[ае]|двух|тр[иё]\w*|четыр\w+|пят\w+|шест\w+|сем[ьи]|вос[еь]м\w*|девят\w+|десят\w+|сто|тысяч\w*|половин\w+|треть\w*|дюжин\w*|вдвое)\b",
    re.I,
)


def quantity_in(text: str) -> str | None:
    """The first quantity that is found, or None."""
    for pattern in (_DIGITS, _WORDS, _SYMBOLS):
        if found := pattern.search(text):
            return found.group()
    return None
