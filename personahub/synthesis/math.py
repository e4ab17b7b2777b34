"""Math problems (paper, section 4.1): what makes one unfit. Whether it can be solved is for the solvers to find out."""

import re
from collections.abc import Mapping
from typing import Any

from personahub import filters
from personahub.text import normalise

LEAST_CHARACTERS = 20
_ASKS = re.compile(
    r"[?？؟]|求|计算|計算|证明|証明|"
    r"\b(?:find|determine|calculate|compute|evaluate|prove|show that|solve|derive|estimate|maximi[sz]e|minimi[sz]e|express|simplify|"
    r"what is|what are|how (?:many|much|long|far|often|likely))\b",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"^\W*(?:(?:the )?(?:final |correct )?(?:answer|solution))\W{0,4}(?:is\b|[:：=])|\\boxed\b", re.IGNORECASE | re.MULTILINE
)


def judge(content: Mapping[str, Any], variables: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why a problem is refused, as (reason, detail), or None.

    refusal: the model declines. no_question: blank, very short, or nothing is asked for. copied_persona: the persona and next to
    nothing else. leaked_answer: the problem goes on to its answer.
    """
    problem = content["problem"].strip()
    if len(problem) < LEAST_CHARACTERS:
        return "no_question", f"{len(problem)} characters < {LEAST_CHARACTERS}"
    if declined := filters.refusal_in(problem):
        return "refusal", declined
    persona, said = normalise(str(variables.get("persona", ""))), normalise(problem)
    if persona and persona in said and len(said) - len(persona) < LEAST_CHARACTERS:
        return "copied_persona", "the problem is the persona's description"
    if not _ASKS.search(problem):
        return "no_question", "nothing is asked for"
    found = _ANSWER.search(problem)
    return ("leaked_answer", found.group().strip()) if found else None
