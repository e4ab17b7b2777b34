"""Which counts of a prompt's tokens say that its front was cut off."""

import pytest

from personahub.llm.prompt_cuts import was_cut

PROSE = "The keeper of the lighthouse counts the ships that pass by night. " * 400  # 26,400 characters, 4,800 words


@pytest.mark.parametrize(
    ("text", "prompt_tokens", "cut_at", "cut"),
    [
        (PROSE, 5600, None, False),
        (PROSE, 2050, None, True),
        (PROSE, 0, None, False),  # tells none
        (PROSE, 1, None, False),  # counts nothing
        (PROSE, 3400, None, False),  # within what a tokeniser might do
        (PROSE[:8000], 2050, 2050, True),
        (PROSE[:8000], 2047, 2050, False),
        ("=" * 30_000, 600, None, False),  # one word without end: long tokens
        ("木" * 9000, 1400, None, False),
    ],
)
def test_a_cut_prompt_has_fewer_tokens_than_words(text, prompt_tokens, cut_at, cut):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    assert was_cut(prompt_tokens, messages, cut_at) is cut
