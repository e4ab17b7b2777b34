"""What the hops to come will cost, before they are paid for: the next one by its requests, those after it by the hub's own rates."""

from dataclasses import dataclass
from datetime import datetime, timezone
from math import sqrt

from pyspark.sql import functions as F

from personahub.inference import estimate, find_pending
from personahub.stages.persona_to_persona import frontier, transform
from personahub.storage.hub import Estimate, Hub

UNKNOWN_SHARE = (0.5, 0.8, 1.0)  # of the personas asked for that are kept, where no hop was measured yet: least, likely, most
SIGMAS = 2.0


@dataclass(frozen=True)
class Forecast:
    """One hop. calls, tokens (in and out), dollars (None without prices) and hours as they are likely; least and most: calls.

    Tokens, dollars and hours go with the calls. Of the first hop the calls are counted, not estimated.
    """

    hop: int
    calls: int
    least: int
    most: int
    tokens: int
    cost_usd: float | None
    hours: float | None
    note: str = ""


@dataclass(frozen=True)
class _Rates:
    """kept personas a call: least, likely, most; seconds a call takes of a place (None: no call was made yet)."""

    least: float
    likely: float
    most: float
    seconds: float | None


def forecast(hub: Hub) -> list[Forecast]:
    """The hops that are not paid for, up to persona_to_persona.hops. Spends nothing and freezes nothing."""
    settings = hub.config.persona_to_persona
    for hop in range(1, settings.hops + 1):
        wanted = frontier.wanted(hub, hop)
        pending = find_pending(hub.store, wanted)
        if pending.calls:
            return _from(hub, hop, estimate(hub.store, wanted, pending), pending.reused)
    return []


def record(hub: Hub, hop: int) -> None:
    """What is foreseen now, before the first call of `hop`, for the report to set beside what came. Not a second time."""
    if not hub.store.table("hop_forecasts").where(F.col("forecast_at_hop") == hop).isEmpty():
        return
    now = datetime.now(timezone.utc)
    rows = [
        (one.hop, hub.run_id, hop, one.calls, one.least, one.most, one.tokens, one.cost_usd, now)
        for one in forecast(hub)
        if one.hop >= hop
    ]
    if rows:
        hub.store.record(rows, "hop_forecasts")


def _from(hub: Hub, hop: int, first: Estimate, reused: int) -> list[Forecast]:
    """first: of what is pending of `hop`; each later hop by its calls' share of these."""
    rates = _rates(hub, hop)

    def forecast_of(hop: int, likely: float, least: float, most: float, note: str = "") -> Forecast:
        calls, share = round(likely), likely / first.calls
        tokens = round((first.prompt_tokens + first.completion_tokens) * share)
        cost = None if first.cost_usd is None else first.cost_usd * share
        return Forecast(hop, calls, round(least), round(most), tokens, cost, _hours(hub, calls, tokens, rates.seconds), note)

    found = [forecast_of(hop, first.calls, first.calls, first.calls, first.note)]
    # the answers that are there already have children, too
    likely = least = most = float(first.calls + reused)
    for later in range(hop + 1, hub.config.persona_to_persona.hops + 1):
        likely, least, most = (
            _capped(hub, calls * rate) for calls, rate in ((likely, rates.likely), (least, rates.least), (most, rates.most))
        )
        found.append(forecast_of(later, likely, least, most))
    return found


def _capped(hub: Hub, calls: float) -> float:
    most = hub.config.persona_to_persona.max_frontier
    return calls if most is None else min(calls, float(most))


def _rates(hub: Hub, hop: int) -> _Rates:
    """By the last two hops that were paid for: the newest rate, and what it would be if it went on as from the one before."""
    settings, table = hub.config.persona_to_persona, hub.store.table
    each = settings.relations_per_request * settings.personas_per_relation
    ledger = table("completions").where(F.col("final") & (F.col("stage") == transform.NAME))
    seconds = ledger.agg(F.avg("latency_s")).collect()[0][0]
    rates = []
    for done in (hop - 2, hop - 1):
        if done < 1:
            continue
        asked = frontier.requests(hub, done).join(ledger.select("completion_id"), on="completion_id", how="left_semi").count()
        kept = frontier.kept_of(hub, done).count()
        if asked:
            rates.append((kept / asked, asked))
    if not rates:
        least, likely, most = (each * share for share in UNKNOWN_SHARE)
        return _Rates(least, likely, most, seconds)
    (rate, asked), trend = rates[-1], rates[-1][0] / rates[0][0] if rates[0][0] else 1.0
    error = SIGMAS * sqrt(max(rate, 0.05) / asked)
    return _Rates(max(0.0, rate * min(1.0, trend) - error), rate, min(each, rate * max(1.0, trend) + error), seconds)


def _hours(hub: Hub, calls: int, tokens: int, seconds: float | None) -> float | None:
    """By the places and the limits of the endpoint, whichever holds longest."""
    model = hub.config.models[hub.config.persona_to_persona.model]
    minutes = [
        calls * seconds / model.places / 60 if seconds is not None else None,
        calls / model.max_requests_per_minute if model.max_requests_per_minute else None,
        tokens / model.max_tokens_per_minute if model.max_tokens_per_minute else None,
    ]
    known = [value for value in minutes if value is not None]
    return max(known) / 60 if known else None
