"""What makes a document unfit."""

from collections.abc import Mapping

from personahub.config import DocumentFilters

Verdict = tuple[str, str] | None  # (reason, detail), or None: fit

# "auto": the thresholds of Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), which RedPajama-V2's own recipes use, too
AUTO_SYMBOL_RATIO = 0.1
AUTO_REPEATED_LINE_RATIO = 0.3


def document_reason(text: str, quality: Mapping[str, float], filters: DocumentFilters, on_by_default: bool) -> Verdict:
    """Why a document is refused, as (reason, detail), or None.

    text: the document. quality: the corpus's own signals, name -> score. on_by_default: what "auto" means, Gopher's threshold
    (True: RedPajama-V2) or off (False). A threshold of null is off, in any format.
    """
    for check in DOCUMENT_CHECKS:
        verdict = check(text, quality, filters, on_by_default)
        if verdict is not None:
            return verdict
    return None


def count_symbols(text: str) -> int:
    """Hashes and ellipses: # … and ..., the symbols of Gopher's symbol-to-word ratio."""
    return text.count("#") + text.count("…") + text.count("...")


def repeated_line_ratio(text: str) -> float:
    """The share of non-empty lines that have stood before in the text, spaces at their ends aside (Gopher's duplicate lines)."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def _document_too_short(text: str, quality: Mapping[str, float], filters: DocumentFilters, auto: bool) -> Verdict:
    least = filters.min_characters
    return ("too_short", f"{len(text)} characters < {least}") if least is not None and len(text) < least else None


def _document_too_long(text: str, quality: Mapping[str, float], filters: DocumentFilters, auto: bool) -> Verdict:
    most = filters.max_characters
    return ("too_long", f"{len(text)} characters > {most}") if most is not None and len(text) > most else None


def _symbols(text: str, quality: Mapping[str, float], filters: DocumentFilters, auto: bool) -> Verdict:
    """Symbols per word, words being what stands between spaces."""
    most = _threshold(filters.max_symbol_ratio, AUTO_SYMBOL_RATIO, auto)
    if most is None or not (symbols := count_symbols(text)):
        return None
    # splitting a whole text costs more than parsing it did: stop where there are words enough
    words = len(text.split(maxsplit=int(symbols / most) + 1)) if most else 1
    return ("symbol_ratio", f"{symbols / words:.3f} symbols per word > {most}") if symbols > most * words else None


def _repeated_lines(text: str, quality: Mapping[str, float], filters: DocumentFilters, auto: bool) -> Verdict:
    most = _threshold(filters.max_repeated_line_ratio, AUTO_REPEATED_LINE_RATIO, auto)
    if most is None or (ratio := repeated_line_ratio(text)) <= most:
        return None
    return "repeated_lines", f"{ratio:.3f} of the lines repeat > {most}"


def _signals(text: str, quality: Mapping[str, float], filters: DocumentFilters, auto: bool) -> Verdict:
    for name, bounds in filters.signals.items():
        score = quality.get(name)  # a missing signal passes: tail has none
        if score is None:
            continue
        if bounds.min is not None and score < bounds.min:
            return "signal", f"{name} {score:g} < {bounds.min:g}"
        if bounds.max is not None and score > bounds.max:
            return "signal", f"{name} {score:g} > {bounds.max:g}"
    return None


def _threshold(setting: float | str | None, auto_value: float, auto: bool) -> float | None:
    if isinstance(setting, str):
        return auto_value if auto else None
    return setting


DOCUMENT_CHECKS = (_document_too_short, _document_too_long, _symbols, _repeated_lines, _signals)
