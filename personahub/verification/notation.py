"""One notation for what models write around an answer: LaTeX, Unicode, boxes, dollar signs, phrases before the answer."""

import re
import unicodedata

MAX_CHARACTERS = 2_000  # longer texts are no short answers: they are the judge's

_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname|mbox)\s*\{([^{}]*)\}")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_LEAD = re.compile(
    r"^(?:(?:so|thus|hence|therefore),?\s+)?(?:the\s+)?(?:final\s+|correct\s+)?(?:answer|result|solution)(?:\s+is|\s*[:=])\s*:?\s*",
    re.IGNORECASE,
)
_BINOMIAL = re.compile(r"\\[dt]?binom\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))")
_PLAIN = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u00d7": "*", "\u22c5": "*", "\u00b7": "*", "\u00f7": "/", "\u2044": "/", "\u2236": ":",
    "\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u221e": "inf", "\u222a": " U ", "\u2208": " in ", "\u03c0": "\\pi ",
    "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u00b0": " degrees ",
}  # fmt: skip
_COMMANDS = {
    r"\left": "", r"\right": "", r"\displaystyle": "", r"\,": " ", r"\;": " ", r"\:": " ", r"\!": "", r"\ ": " ", "~": " ", r"\quad": " ",
    r"\$": "$", r"\%": "%", r"\{": "{", r"\}": "}", r"\leq": "<=", r"\geq": ">=", r"\le": "<=", r"\ge": ">=", r"\lt": "<", r"\gt": ">",
    r"\infty": "inf", r"\cup": " U ", r"\in": " in ", r"\times": "*", r"\cdot": "*", r"\colon": ":", r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"^\circ": " degrees ", r"^{\circ}": " degrees ", r"\degree": " degrees ", r"\lbrace": "{", r"\rbrace": "}",
}  # fmt: skip
_COMMAND = re.compile(
    "|".join(re.escape(key) + (r"(?![A-Za-z])" if key[-1].isalpha() else "") for key in sorted(_COMMANDS, key=len)[::-1])
)
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_VULGAR = re.compile(r"(\d*)\s*([¼½¾⅐-⅞])")


def cleaned(text: str) -> str:
    """The answer without what surrounds it, in ASCII where that can be, LaTeX commands of mathematics left as they are."""
    text = _last_box(text.strip())
    text = _VULGAR.sub(lambda found: f"{found[1]} {_fraction(found[2])}", text)
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: "^" + found[0].translate(_POWERS), text)
    for mark, plain in _PLAIN.items():
        text = text.replace(mark, plain)
    text = unicodedata.normalize("NFKC", text)
    for pair in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`")):
        if len(text) > len(pair[0]) + len(pair[1]) and text.startswith(pair[0]) and text.endswith(pair[1]):
            text = text[len(pair[0]) : -len(pair[1])].strip()
    for _ in range(4):
        text = _TEXT.sub(r" \1 ", text)
    text = _COMMAND.sub(lambda found: _COMMANDS[found[0]], text)
    text = re.sub(r"(?<=\d)\{,\}(?=\d{3})", ",", text)
    text = _BINOMIAL.sub(lambda found: str(_choose(int(found[1] or found[2]), int(found[3] or found[4]))), text)
    text = _LEAD.sub("", " ".join(text.split()))
    return re.sub(r"(?<!\.)[.;,!]$", "", text.strip()).strip()


_FUNCTIONS = "arcsin arccos arctan sinh cosh tanh sin cos tan cot sec csc log ln exp".split()
_FUNCTION = re.compile(rf"(?<![A-Za-z\\\\])({'|'.join(_FUNCTIONS)})(?![A-Za-z])")


def as_latex(text: str) -> str:
    """An expression as people type it, in LaTeX: sqrt(2), 2**(n+1), pi. What is LaTeX already stays."""
    text = text.replace("**", "^").replace("*", r"\cdot ")
    text = _FUNCTION.sub(r"\\\1", re.sub(r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi ", text))
    for opening, latex in (("^(", "^{"), ("sqrt(", r"\sqrt{")):
        at = text.find(opening)
        while at >= 0:
            end = _closing(text, at + len(opening) - 1)
            if end is None:
                break
            start = at - 1 if opening[0] == "s" and text[at - 1 : at] == "\\" else at
            text = text[:start] + latex + text[at + len(opening) : end] + "}" + text[end + 1 :]
            at = text.find(opening, at)
    return text


def _closing(text: str, start: int) -> int | None:
    """Where the parenthesis at `start` is closed."""
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    return None


def _last_box(text: str) -> str:
    """What the last box holds, if there is one."""
    boxes = list(_BOXED.finditer(text))
    if not boxes:
        return text
    depth, start = 1, boxes[-1].end()
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[start:at].strip()
    return text


def _fraction(sign: str) -> str:
    over, _, under = unicodedata.normalize("NFKC", sign).partition("\u2044")
    return f"{over}/{under}"


def _choose(n: int, k: int) -> int:
    value = 1
    for step in range(min(k, n - k, 60)):
        value = value * (n - step) // (step + 1)
    return value if 0 <= k <= n <= 120 else 0
