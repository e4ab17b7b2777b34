"""Answers bought through a Batch API: within a day, for less.

    states      where a batch is on its way, and what holds there; pure
    requests    pending rows -> the lines of a batch's file, as many as there is room for; pure but for the rows' source
    answers     the lines that came back -> outcomes; pure
    tables      `batches` and `batch_requests`
    desk        one batch at its endpoint: submitted, found again after a kill, looked at, collected, cancelled
    waiting     the open batches of a purchase, looked at until they have ended
    purchase    all that is pending of one purpose, batch by batch, until it is answered

The reasons stand in docs/architecture/paid-calls.md.
"""
