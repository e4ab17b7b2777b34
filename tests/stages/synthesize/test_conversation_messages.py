"""What a simulated user may say: a message, and nothing that the prompt said before."""

import pytest

from personahub.stages.synthesize.conversation import _no_message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("And what do rolls cost if I bake them on Sunday night?", None),
        ("I am sorry, but I cannot help with that.", "refusal"),
        ("And if I cut my own reed on the estuary in January, what do I save?", "copied_prompt"),
        ("A follow-up question, an objection, a correction", "copied_prompt"),
        ("I have a question, an objection and two corrections: is the flour too old?", None),
    ],
)
def test_what_is_no_message_of_a_user(message, reason):
    assert _no_message(message)[0] == reason
