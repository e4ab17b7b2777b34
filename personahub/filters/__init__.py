"""What makes a document or a persona unfit: small named predicates, each with a reason code. Pure Python, no Spark.

Documents: too_short, too_long, symbol_ratio, repeated_lines, signal. Personas: not_a_person, refusal, copied_prompt, not_self_contained,
contact, unsafe, names_a_person, too_short, too_long, wrong_language. DOCUMENT_CHECKS and PERSONA_CHECKS are the lists; the first that
objects names the reason.
"""

from personahub.filters.documents import DOCUMENT_CHECKS, count_symbols, document_reason, repeated_line_ratio
from personahub.filters.mentions import person_meant, text_meant
from personahub.filters.personas import PERSONA_CHECKS, Shown, count_words, language, persona_reason, refusal_in, unsafe_in
from personahub.filters.prompt_words import copied_from

__all__ = [
    "DOCUMENT_CHECKS",
    "PERSONA_CHECKS",
    "Shown",
    "copied_from",
    "count_symbols",
    "count_words",
    "document_reason",
    "language",
    "person_meant",
    "persona_reason",
    "refusal_in",
    "repeated_line_ratio",
    "text_meant",
    "unsafe_in",
]
