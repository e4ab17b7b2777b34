"""Whether an endpoint reads a long prompt from its beginning: some cut the front off when it does not fit, and answer with status 200."""

import dataclasses
from collections.abc import Sequence

from personahub.config import Model
from personahub.errors import ErrorKind
from personahub.ids import content_id
from personahub.llm.chat import ChatClient
from personahub.llm.dialects import CUT_AT, Dialect
from personahub.llm.probe import Probe, ask, probe_call
from personahub.llm.prompt_cuts import LEAST, WHERE
from personahub.llm.types import Attempt, ChatCall

READS = "reads_characters"  # the capability: the longest prompt, in characters, that was read whole
READ_BY_ALL = 8000  # characters: no server in use has a smaller window than 2,048 tokens
_SHORT_OF = 0.97  # of the tokens that a prompt must have: less is cut


async def probe_window(model: Model, key: str | None, dialect: Dialect, characters: int) -> Probe:
    """One request with a prompt of so many characters, which has a word at its very beginning to be repeated; one of half its length
    where the word is missing, to tell a cut prompt from a forgetful model.

    found: `reads_characters`, or `cut_at`, the tokens told of a cut prompt; neither where the prompt was refused or nothing can be
    said. kind CONTEXT_CUT: it was cut.
    """
    made: list[tuple[ChatCall, Attempt]] = []
    client = ChatClient(model, key, dataclasses.replace(dialect, cut_at=None))
    try:
        whole = await _asked(client, model, characters, made)
        if whole.kind is not None and whole.kind is not ErrorKind.CONTEXT_CUT and not _filled_up(whole):
            return Probe({}, whole.kind, whole.message, tuple(made), notes=(_not_known(characters, whole),))
        if _repeats(whole, characters):
            return Probe({READS: str(characters), CUT_AT: ""}, None, None, tuple(made), _ids(made))
        half = await _asked(client, model, characters // 2, made)
    finally:
        await client.close()
    return _judged(characters, whole, half, made)


def _judged(characters: int, whole: Attempt, half: Attempt, made: list[tuple[ChatCall, Attempt]]) -> Probe:
    told, of_half = _told(whole), _told(half)
    fits = told >= 2 * _SHORT_OF * of_half if told and of_half else not _repeats(half, characters // 2)
    if fits:
        note = (
            f"the model did not repeat a word from the beginning of a prompt of {characters:,} characters: it may overlook some"
        )
        return Probe({READS: str(characters), CUT_AT: ""}, None, None, tuple(made), _ids(made), (note,))
    what = f"only some {told:,} tokens" if told else "only a part"
    note = (
        f"the endpoint reads {what} of a prompt of {characters:,} characters: it cuts the front off, and answers the rest without a word. "
        f"Raise its context window ({WHERE}), or ask with shorter texts (text_to_persona.max_text_characters)"
    )
    return Probe({CUT_AT: str(told)} if told else {}, ErrorKind.CONTEXT_CUT, note, tuple(made), _ids(made), (note,))


async def _asked(client: ChatClient, model: Model, characters: int, made: list[tuple[ChatCall, Attempt]]) -> Attempt:
    call = probe_call(model, "window", f"window {characters}", None, messages(characters))
    return await ask(client, call, made, model.generation_params)


def messages(characters: int) -> list[dict[str, str]]:
    """A prompt of so many characters with a word at the beginning of its system message and one at that of the user's: which of them is
    cut off first hangs on the server.
    """
    first, second = words(characters)
    system = f"The first code word is {first}."
    end = "Which are the two code words? Answer with these two words and nothing else."
    begin = f"The second code word is {second}.\n\n"
    days: list[str] = []
    room = characters - len(system) - len(begin) - len(end)
    while room > 0:
        days.append(f"On day {len(days) + 1} of the voyage there was a rainbow in the west and nothing else was written down.\n")
        room -= len(days[-1])
    return [{"role": "system", "content": system}, {"role": "user", "content": begin + "".join(days) + end}]


def words(characters: int) -> Sequence[str]:
    """Two code words that nobody can guess, the same for the same length."""
    digits = content_id(f"window {characters}")
    return f"amber{digits[:4]}", f"cedar{digits[4:8]}"


def _told(attempt: Attempt) -> int:
    """The prompt's tokens; 0 where they are not told, or are no count of so long a prompt."""
    return 0 if attempt.usage.estimated or attempt.usage.prompt < LEAST else attempt.usage.prompt


def _repeats(attempt: Attempt, characters: int) -> bool:
    return attempt.text is not None and all(word in attempt.text for word in words(characters))


def _filled_up(attempt: Attempt) -> bool:
    """The prompt left no room for an answer, as one does that was cut to the window."""
    return attempt.kind in (ErrorKind.TRUNCATED, ErrorKind.EMPTY) and attempt.usage.prompt > 0


def _not_known(characters: int, attempt: Attempt) -> str:
    return f"a prompt of {characters:,} characters, as long as the longest request, got no answer: {attempt.message}"


def _ids(made: list[tuple[ChatCall, Attempt]]) -> frozenset[str]:
    return frozenset(call.completion_id for call, _ in made)
