"""What a model thought aloud before its answer, in the notations that leak into content: what stands after it is the answer."""

import re

_TAG = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning)"
_OPEN = rf"<(?i:{_TAG})>|\[THINK\]|◁think▷|<\|(?:begin_of_thought|START_THINKING|start_thinking)\|>"
_CLOSE = rf"</(?i:{_TAG})>|\[/THINK\]|◁/think▷|<\|(?:end_of_thought|END_THINKING|end_thinking)\|>"
# harmony: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>
_CHANNEL = r"<\|channel\|>"
_FINAL = rf"{_CHANNEL}\s*final\b[^{{\[]{{0,80}}?<\|message\|>"

_BLOCK = re.compile(rf"(?:{_OPEN})(?:(?!{_OPEN}).)*?(?:{_CLOSE})", re.DOTALL)
_END = re.compile(rf"{_CLOSE}|{_FINAL}")
_BEGIN = re.compile(rf"{_OPEN}|{_CHANNEL}")
_BARE_FINAL = "assistantfinal"  # of the same channels, where a server drops the marks and keeps the words


def without(text: str) -> str:
    """`text` after its thoughts. Blank where a thought is never closed: all of it is thought."""
    if text.startswith("analysis") and _BARE_FINAL in text:
        return text.rpartition(_BARE_FINAL)[2]
    if not any(mark in text for mark in ("<", "[THINK]", "[/THINK]", "◁")):
        return text
    text = _BLOCK.sub("", text)
    if ends := list(_END.finditer(text)):  # some chat templates open the block themselves
        text = text[ends[-1].end() :]
    begin = _BEGIN.search(text)
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    # a mark within a JSON value is a word of the answer
    return "" if begin and begin.start() <= min(starts, default=len(text)) else text
