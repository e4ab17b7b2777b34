"""Does a text speak of what only the request showed: "the text", "this person"? Whoever reads it alone does not know what is meant.

The word lists cover English best, and German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Turkish, Arabic, Hindi,
Chinese, Japanese and Korean in their plainest forms ("dieser Text", "ce texte", "этот текст", "本文"). What is meant by its complement
passes: "a translator of the text of the Vulgate", "a nurse who finds the person who called". Of 2,500 published personas ten are found;
read one by one, each speaks of a text, an event in it or "the persona", which nobody sees.
"""

import re

_NOUN = (
    r"(?:text|document|article|passage|excerpt|snippet|paragraph|web ?page|web ?site|web ?log|blog(?: ?post)?|post|story|piece|page|"
    r"essay|editorial|content|narrative|advert(?:isement)?|press release|newsletter)s?"
)
_OF = r"(?!\s+(?:of|by|from|for|on|that|which|in(?!\s+question))\b)"  # no complement says which
_SAID = (
    r"(?:mention|describ|discuss|present|provid|depict|detail|portray|express|contain|highlight|advertis|offer|referenc|convey|list|"
    r"outlin|featur|cover|stat|rais|shar|explain|explor|address|us|publish|post|promot)ed|shown|found|given|written|made|told"
)
_PARTS = (
    r"(?:author|writer|topic|subject|content|tone|theme|style|title|focus|message|arguments?|claims?|perspective|views?|viewpoints?|"
    r"opinions?|points?|stance|readers?|audience|purpose|ideas?|advice|information|details?)"
)
_JUDGES = (
    r"(?:(?:dis)?agree\w*|resonat\w+|(?:dis)?like[sd]?|enjoy\w*|appreciat\w+|read(?:s|ing)?|wrote|writ(?:es|ten|ing)|find(?:s|ing)?|found|"
    r"critici[sz]\w+|interested|annoyed|bored|offended|moved|inspired|engag\w+|skim\w*|shar(?:es|ed|ing)|frustrat\w+|disappoint\w+)"
)
_PIECE = r"(?:article|passage|excerpt|snippet|paragraph|web ?page|blog ?post|essay|editorial)"
# each pattern with words of which one stands in whatever it finds: to look for these costs little
_TEXTS = (
    (
        ("this", "these"),
        rf"\b(?:this|these)\s+(?:(?:kind|type|sort)s?\s+of\s+|(?!is\b|was\b|are\b)[\w-]+\s+)?{_NOUN}\b(?!-)|"
        r"\b(?:(?:dis)?(?:likes|agrees with|enjoys|reads)|wrote|is annoyed by)\s+this\W*$",
    ),
    (("s it", "h it", "y it", "e it"), r"\b(?:(?:dis)?(?:likes|agrees with|enjoys|reads)|wrote|is annoyed by)\s+it\W*$"),
    (
        ("find", "found"),
        r"\bf(?:inds?|inding|ound)\s+the\s+(?:content|information|material|topic|subject(?: matter)?|writing|tone|style|message|idea|"
        r"author)\s+(?:to\s+be\s+)?(?!(?:of|on|in|for|at|by|they|he|she|it|we|you|that|which|who|to|about|from|and|or)\b)\w",
    ),
    (
        ("agree",),
        r"\b(?:dis)?agree\w*\s+with\s+the\s+(?:content|message|ideas?|views?|claims?|opinions?|information|statements?|arguments?|points?)\b"
        r"(?!\s+(?:of|that|on|about|from|in|by)\b)",
    ),
    (("the topic", "the subject matter"), r"\bthe\s+(?:topic|subject\s+matter)\W*$"),
    (
        ("the text",),
        r"\bthe text(?![\w-]|['’]s\w|\s+(?:of|by|from|for|on|that|which|in(?!\s+question)|messag\w+|edit\w+|mining|files?|books?|"
        r"adventures?|box|fields?|anal\w+|classif\w+|generat\w+|layout|input|line)\b)",
    ),
    (
        ("given", "provided", "above", "following", "aforementioned"),
        rf"\bthe\s+(?:given|provided|above|following|aforementioned)\s+{_NOUN}\b",
    ),
    (
        ("in the ", "by the ", "on the ", "within the ", "throughout the ", "from the "),
        rf"\b(?:{_SAID})\s+(?:in|by|on|within|throughout|from)\s+the\s+(?:[\w-]+\s+)?{_NOUN}\b{_OF}",
    ),
    (
        (
            "the article",
            "the passage",
            "the excerpt",
            "the snippet",
            "the paragraph",
            "the document",
            "the web",
            "the blog",
            "the post",
            "the essay",
            "the editorial",
        ),
        rf"\b{_JUDGES}\s+(?:(?:with|by|in|to|about)\s+)?(?:the\s+{_PARTS}\s+(?:of|in)\s+)?the\s+{_PIECE}\b{_OF}|"
        rf"\bthe\s+(?:{_PIECE}|document|blog|post)['’]s?\s+{_PARTS}\b|\b{_PARTS}\s+(?:of|in)\s+the\s+(?:{_PIECE}|document)\b{_OF}",
    ),
    (
        (
            "the topic",
            "the subject",
            "the issue",
            "the information",
            "the content",
            "the material",
            "the idea",
            "the point",
            "the event",
            "the detail",
        ),
        rf"\bthe\s+(?:topics?|subject(?: matter)?|issues?|information|content|material|ideas?|points?|events?|details?)\s+"
        rf"(?:{_SAID}|at hand|in question)\b(?!\s+(?:in|on|at|to)\s+(?!the\b|it\b))",
    ),
    (
        ("the author", "the writer", "the blogger", "the speaker"),
        r"\b(?:dis)?agree\w*\s+with\s+the\s+(?:author|writer|blogger|speaker)(?:['’]s)?\b|"
        r"\bthe\s+(?:author|writer|blogger)['’]s\s+(?:opinion|view|viewpoint|perspective|argument|stance|claim|tone|point|message|"
        r"approach|belief|position)s?\b",
    ),
    (
        (
            "text",
            "artikel",
            "dokument",
            "beitrag",
            "abschnitt",
            "seite",
            "website",
        ),  # German, French, Spanish and Portuguese, Dutch
        r"\b(?:dies\w{1,2}|de[rnms])\s+text(?:es|s)?\b(?!\s+(?:von|des|der|aus|für|zu|über)\b)|"
        r"\bdies\w{1,2}\s+(?:artikels?|dokuments?|beitrags?|abschnitts?|web(?:seite|site)|seite)\b|"
        r"\bim\s+(?:text|artikel|dokument)\s+(?:erwähnt|beschrieben|genannt)\w*|"
        r"\b(?:ce|le|du|au)\s+texte\b(?!\s+(?:(?:de|du|des|qui|que)\b|d['’]))|"
        r"\b(?:este|esse|neste|deste|el|del|al|o|no|do|ao)\s+texto\b(?!\s+(?:d[eao]s?|del|que)\b)|\bdit\s+artikel\b",
    ),
    (
        ("cet ", "ce ", "cette ", "este ", "esta ", "esse ", "quest", "testo", "tekst", "tekście", "dit ", "deze ", "artyk"),
        r"\b(?:cet\s+(?:article|extrait)|ce\s+(?:document|passage|site|contenu)|cette\s+page)\b|"
        r"\b(?:este|esse|neste|deste)\s+(?:artículo|artigo|documento|pasaje|trecho|sitio|site|fragmento|contenido|conteúdo)\b|\besta\s+página\b|"
        r"\b(?:questo|il|nel|del|al|sul)\s+testo\b(?!\s+(?:di|del\w*|dei|che|sacro)\b)|\bquest['’]articolo\b|"
        r"\bquest[oa]\s+(?:articolo|documento|sito|brano|contenuto|pagina)\b|\b(?:deze|de)\s+tekst\b(?!\s+(?:van|uit|over|die)\b)|"
        r"\bdit\s+(?:document|stuk)\b|\bdeze\s+(?:pagina|website|passage)\b|\b(?:ten|tego|tym|temu)\s+(?:tekst|artykuł)\w*|\bw\s+tekście\b",
    ),
)
_TEXT_PATTERNS = tuple((stems, re.compile(pattern, re.I)) for stems, pattern in _TEXTS)
# what a text tells of: "a producer who missed an award in this event", where no event was spoken of before
_THIS_ONE = re.compile(
    r"\bthis\s+(?:[\w-]+\s+)?(topic|subject|issue|information|event|study|talk|project|program(?:me)?|research|product|service|book|film|movie|"
    r"show|game|company|organi[sz]ation|discussion|debate|initiative|proposal|award|conference|report|discovery|decision|approach)\b",
    re.I,
)
_TEXTS_ELSEWHERE = re.compile(
    r"\b(?:эт(?:от|ого|ому|им|ом)|данн\w+)\s+(?:текст|документ)\w*|\bэт(?:а|ой|у|ою)\s+стать\w+|\bупом\w+\s+в\s+тексте\b|"
    r"\bbu\s+(?:metin|metn|yazı|makale|belge)\w*|هذا النص|هذه المقالة|هذا المقال|هذه الوثيقة|المذكور في النص|इस (?:पाठ|लेख|दस्तावेज़)|"
    r"(?<!日)本文(?![化学學明字])|(?:这|這)(?:篇|段|份)(?:文章|文本|文字|文档|文檔|报道|報道|帖子|话|話)|(?:该|該)(?:文章|文本|文档|文檔|网页|網頁)|"
    r"文中(?:提到|提及|描述|所述|所提)|この(?:文章|記事|テキスト|文書|ページ|サイト)|이\s?(?:글|기사|텍스트|문서)(?=[은는이가을를에의과와]|\s|$)",
    re.I,
)
_PERSON = r"(?:person|persona|individual|character)"
_ONE = r"person|someone|somebody|anyone|everyone|people|nobody|no one"
_PERSONS = re.compile(
    rf"\b(?:this\s+(?:{_PERSON}|man|woman)|the\s+(?:given|described|above|aforementioned|mentioned|original)\s+(?:{_PERSON}|man|woman)|"
    rf"the\s+{_PERSON}\s+(?:described|mentioned|above|below|in question|asked about)|the\s+persona)\b(?!-)|"
    r"\bdies\w{1,2}\s+person\b|\bcette\s+personne\b|\bla\s+personne\s+(?:décrite|mentionnée|en question)\b|\besta\s+persona\b|"
    r"\bla\s+persona\s+(?:descrita|mencionada|en cuestión)\b|\bquesta\s+persona\b|\b(?:esta|essa|desta|dessa)\s+pessoa\b|"
    r"\bdeze\s+persoon\b",
    re.I,
)
_PERSONS_ELSEWHERE = re.compile(
    r"\b(?:ta|tej|tę)\s+osob\w+|\bэт(?:от|ого|ому|им|ом)\s+человек\w*|\bbu\s+(?:kişi|şahıs)\w*|هذا الشخص|इस व्यक्ति|"
    r"(?:这|這)(?:个|個|位)人(?![群物类類])|(?<![因如彼])此人(?![们們])|(?<![应應])(?:该|該)人(?![们們群士员員类類工])|この人(?![々間生口])|이\s?사람",
    re.I,
)
_PERSON_STEMS = ("perso", "pessoa", "individual", "character", " man", "woman")
_DEFINITE = re.compile(
    r"\bthe\s+person\b(?!\s+(?:who\w*|that|whose|of|in|behind|next|beside|responsible|with|at|on|to|from|for|they|he|she|we|i|you|my|your|an?|"
    r"being|sitting|standing|living|working|affected)\b)",
    re.I,
)
_INTRODUCED = re.compile(rf"(?<!\bthe )\b(?:{_ONE})\b|\bper\s+person\b", re.I)


def text_meant(text: str) -> str | None:
    """The words that speak of the text that the request showed, of its parts or its author, or None."""
    text = " ".join(text.split())
    folded = text.casefold()
    for stems, pattern in _TEXT_PATTERNS:
        if any(stem in folded for stem in stems) and (found := pattern.search(text)):
            return found.group().strip()
    if "this " in folded:
        for found in _THIS_ONE.finditer(text):
            if found[1].casefold()[:5] not in folded[: found.start()]:
                return found.group()
    return _elsewhere(_TEXTS_ELSEWHERE, text)


def person_meant(text: str, may_be_introduced: bool = False) -> str | None:
    """The words by which a text points to the person whom its request described ("this person"), or None.

    "The person" alone counts only where no person was spoken of before ("a person", "someone", ...) and nothing after it says which.
    may_be_introduced: so it is for "this person", as in longer texts; a persona begins "someone who ..." and means another by it.
    """
    text = " ".join(text.split())
    folded = text.casefold()
    if not any(stem in folded for stem in _PERSON_STEMS):
        return _elsewhere(_PERSONS_ELSEWHERE, text)
    found = _PERSONS.search(text)
    if found and not (may_be_introduced and _INTRODUCED.search(text, 0, found.start())):
        return found.group().strip()
    for found in _DEFINITE.finditer(text):
        return None if _INTRODUCED.search(text, 0, found.start()) else found.group()
    return None


def _elsewhere(pattern: re.Pattern[str], text: str) -> str | None:
    """In languages that are hardly ever written in ASCII."""
    found = None if text.isascii() else pattern.search(text)
    return found.group() if found else None
