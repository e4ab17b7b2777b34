"""Is a description no person's: a placeholder, a statement that nothing is there, a bare name, a sentence about a text, a company, a thing?

Kept narrow: a group of people passes, and so does whatever is not told for certain. Statements that nothing is there are known in
English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Chinese, Japanese and Korean; bare names in Latin, Cyrillic
and Greek letters; companies and things in English only. Of 2,500 published personas 17 are refused, all of them companies.
"""

import re

MAX_NAME = 80  # characters of a bare name
_LEADING = " \t\r\n\"'“”‘’«»*-–—•:：#`("
_MISSING = (
    r"mentioned|specified|provided|stated|identified|identifiable|available|indicated|applicable|inferred|determined|known|listed"
)
_SUBJECT = (
    r"specific|particular|clear|explicit|obvious|relevant|such|additional|further|direct|known|apparent|information|details?|data|mention|"
    r"evidence|indication|personas?|persons?|people|individuals?|one|dislikes?|likes?|readers?|writers?|authors?|relations?\w*"
)
_NOTHING = re.compile(
    rf"(?:no|not any|there (?:is|are|was|were|seems to be) (?:no|not any|nothing|nobody))\s+(?:{_SUBJECT})\b|"
    rf"(?:no|not|none|nothing|nobody|no one)\b[^.;,]{{0,60}}\b(?:{_MISSING})\b|"
    r"(?:unspecified|undetermined|insufficient (?:information|detail|data|context)|not enough (?:information|detail|data|context)|"
    r"(?:it|this) (?:is|was) (?:not|un)\s?(?:clear|known|specified|mentioned|possible))|"
    r"(?:no (?:se|hay|existe|está)|ning[uú]n\w*|sin)\b[^.;,]{0,60}(?:mencion|especific|proporcion|indica|información|disponib|aplicable)|"
    r"(?:aucun\w*|il n['’]y a|rien|pas d)[^.;,]{0,60}(?:mentionn|précis|spécifi|fourni|indiqu|disponib|applicable)|"
    r"(?:kein\w*|nicht|nichts|es (?:gibt|werden|wird) (?:kein|nicht)\w*)\b[^.;,]{0,60}(?:angegeben|erwähnt|genannt|verfügbar|spezifi|"
    r"ersichtlich)|"
    r"(?:nessun\w*|non|niente)\b[^.;,]{0,60}(?:menzionat|specificat|indicat|fornit|disponibil|applicabil)|"
    r"(?:nenhum\w*|não|nada)\b[^.;,]{0,60}(?:mencionad|especificad|fornecid|indicad|disponív|aplicáv)|"
    r"(?:geen|niet|er (?:is|zijn|wordt|worden) (?:geen|niet))\b[^.;,]{0,60}(?:genoemd|vermeld|gespecificeerd|beschikbaar|van toepassing)|"
    r"(?:brak|nie (?:ma|podano|określono|wskazano|dotyczy))\b[^.;,]{0,60}(?:informacji|danych|tekście|osob|$)|"
    r"(?:нет|не|никак\w+|отсутству\w+)\b[^.;,]{0,60}(?:указан|упомян|определен|предоставлен|информаци|сведени|применимо)|"
    r"(?:无|無|没有|沒有|未|暂无|并无|不)[^，。；,.;]{0,12}(?:提及|提到|说明|說明|指定|明确指出)|(?:无|無|没有|沒有|暂无)(?:具体|明确)?(?:信息|資訊|描述)[。.]?$|"
    r"不适用|不適用|特になし|特に(?:言及|記載|該当)|該当(?:なし|者なし|する人物)|[^、。]{0,15}(?:言及|記載|明記)されてい(?:ません|ない)|"
    r"없음|해당 ?없음|"
    r"[^.]{0,15}(?:언급|명시)되지",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"(?:\w*(?: \w+){0,3} ?(?:\.{3,}|…)[\s.…]*|n/?\.?a\.?|none|null|nil|unknown|undefined|not (?:applicable|available|specified)|"
    r"no persona\w*|nobody|no one|"
    r"(?:a |an |any |the )?"
    r"(?:people|persons?|personas?|someone|anyone|everyone|individuals?|humans?|users?|readers?|authors?|writers?)"
    r"(?: in general)?)[\s.!?]*",
    re.I,
)
# nothing that would make the noun after it someone's: "a fan of the company that ..." is a person
_PLAIN_WORDS = r"(?:(?!(?:of|at|for|in|from|with|by|to|on|and|or|who|whose|an?|the|\w+['’]s)\b)[\w&-]+\s+){0,4}?"
_ORGANISATION = re.compile(
    rf"(?:an?|the|this)\s+{_PLAIN_WORDS}(?:company|corporation|start-?up|firm|organi[sz]ation|institution|institute|agency|non-?profit|"
    r"school district|university|website|platform|charity|foundation|manufacturer|brand|consortium)"
    r"\s+(?:that|which|speciali[sz]ing|responsible|dedicated|providing|offering|focus+ed|focus+ing|working|known)\b",
    re.I,
)
_THING = re.compile(
    rf"(?:an?|the|this)\s+{_PLAIN_WORDS}"
    r"(?:book|novel|article|document|text|report|essay|webpage|web page|blog post|passage|story|song|"
    r"poem|recipe|list|summary|description|product|tool|app|application|software|system|dataset|law|event|place|city|country)"
    r"\s+(?:that|which|about|titled|describing|discussing|explaining)\b",
    re.I,
)
_ABOUT_THE_TEXT = re.compile(
    r"(?:the|this|that)\s+(?:given |provided |above |following )?"
    r"(?:text|document|article|passage|page|web ?page|website|content|post|story|excerpt|snippet|paragraph)"
    r"\s*(?:$|[,.:;]|(?:is|are|was|were|has|have|does|do|did|can|cannot|could|would|should|may|might|will|"
    r"seems?|appears?|discusses|describes|provides|contains|mentions|focuses|talks|explains|presents|highlights|lists|outlines)\b)",
    re.I,
)
# a word with a capital, or an initial; what stands between the parts of a name, or behind it
_NAME_PART = r"(?:[A-ZÀ-ÖØ-ÞĀ-ŽА-ЯЁΑ-Ω][\w'’.-]*)"
_BARE_NAME = re.compile(
    rf"(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.?\s+)?{_NAME_PART}(?:\s+(?:(?:de|da|dos|del|della|di|van|von|der|den|bin|ibn|al|el|la|le|y)\s+){{0,2}}"
    rf"{_NAME_PART}){{0,3}}(?:\s*[,(]?\s*(?:aged?\s+)?\d{{1,2}}(?:[ -]years?[ -]old)?\)?|\s*\((?:she|he|they)/\w+\))?[\s.!]*"
)
# "Senior Software Engineer", "Retired Army Veterans": what ends like this names a calling; surnames that do pass, too
_CALLING = re.compile(
    r"(?:er|or|ist|ian|ant|ent|eer|man|woman|person|yst|ess|ary|ef|nurse|chair|expert|fan|parent|mother|father|child|teen|pilot|cook|judge|"
    r"coach|guide|clerk|agent|guard|maid|chef|monk|nun|priest|owner|lover|buff|geek|aide|lead|head|host|vet|alumn\w+|smith|wright|ic|al|ee)s?[\s.!]*$",
    re.I,
)


def not_a_person(persona: str) -> str | None:
    """What it is in place of a person, with the words that tell, or None."""
    head = persona.strip(_LEADING)
    if not head or _PLACEHOLDER.fullmatch(head):
        return "a placeholder"
    if len(head) <= MAX_NAME and _BARE_NAME.fullmatch(head) and not head.isupper() and not _CALLING.search(head):
        return "a bare name"  # which the detail does not repeat
    for pattern, what in _KINDS:
        if found := pattern.match(head):
            return f"{what}: {found.group()}"
    return None


_KINDS = (
    (_NOTHING, "nothing is there"),
    (_ABOUT_THE_TEXT, "about the text"),
    (_ORGANISATION, "an organisation"),
    (_THING, "a thing"),
)
