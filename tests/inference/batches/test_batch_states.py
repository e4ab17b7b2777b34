from dataclasses import replace

from personahub.inference.batches.states import (
    COLLECTED,
    MAX_PAUSE,
    MIN_PAUSE,
    NOT_MADE,
    RUNNING,
    SUBMITTING,
    BatchState,
    latest,
    pause,
)

STATE = BatchState(
    batch_id="a",
    step=0,
    state=SUBMITTING,
    stage="s",
    purpose="p",
    model="m",
    base_url="u",
    requests=3,
    prompt_tokens=30,
    reserved_usd=None,
    prompts="{}",
    provider_file_id="f",
    provider_batch_id=None,
    provider_status=None,
    completed=0,
    failed=0,
    error=None,
    run_id="r",
    created_at=1_000,
    submitted_at=1_000,
)


def test_the_row_of_the_highest_step_holds_in_whatever_order_rows_are_read():
    running = replace(STATE, step=1, state=RUNNING, created_at=2_000, submitted_at=2_000)
    collected = replace(STATE, step=4, state=COLLECTED, created_at=9_000, submitted_at=9_000)
    other = replace(STATE, batch_id="b", created_at=500, submitted_at=500)
    for rows in ([STATE, running, collected, other], [collected, other, running, STATE]):
        assert latest(rows) == [other, replace(collected, submitted_at=1_000)]
    assert latest([]) == []


def test_what_may_be_at_the_endpoint_counts_as_asked():
    assert [STATE.moved(state).is_open for state in (SUBMITTING, RUNNING, "ended", COLLECTED, NOT_MADE)] == [True] * 3 + [
        False
    ] * 2


def test_a_move_is_the_next_row():
    moved = STATE.moved(RUNNING, provider_batch_id="batch_1")
    assert (moved.step, moved.state, moved.provider_batch_id, moved.provider_file_id) == (1, RUNNING, "batch_1", "f")
    assert moved.created_at > STATE.created_at
    assert moved.submitted_at == STATE.submitted_at


def test_pauses_grow_with_the_time_without_news():
    assert [pause(seconds) for seconds in (0, 100, 86_400)] == [MIN_PAUSE, 5.0, MAX_PAUSE]
