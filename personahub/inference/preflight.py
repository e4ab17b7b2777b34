"""Before the first call: what the endpoint honours, what holds on the executors, what may be spent."""

import math
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timezone

import pyarrow as pa
from pyspark.sql import functions as F

from personahub import engines
from personahub.config import Config, Model
from personahub.errors import AuthenticationError, BudgetExceeded, ConfigError, EndpointError, ErrorKind
from personahub.inference import executor
from personahub.inference.batches import tables
from personahub.inference.chat_work import completions_batch, ledger_row
from personahub.inference.pending import PendingRequests, RequestBatch, characters, characters_of_template
from personahub.inference.recovery import journal_folder
from personahub.inference.windows import commit_floor
from personahub.inference.work import Work
from personahub.llm import dialects, journal, own_loop, probe_window
from personahub.llm.dialects import Dialect
from personahub.llm.embeddings import key_of
from personahub.llm.governor import Governor
from personahub.llm.governor_server import Address, GovernorServer
from personahub.llm.keys import read_key
from personahub.llm.probe import Probe, probe
from personahub.llm.probe_embeddings import probe_embeddings
from personahub.llm.types import EndpointLimits, Limits
from personahub.llm.usage import MIN_BYTES_PER_TOKEN
from personahub.storage.delta import Store
from personahub.storage.hub import Hub

BUDGET_MESSAGE = (
    "inference.budget_usd leaves no room for another request; what was bought is kept. "
    "Raise it and run again: the run goes on where it was"
)
PREFLIGHT_TASKS = 4
PROBE = (
    "probe"  # in place of a stage, of requests that find out what an endpoint honours; their purpose is the stage that needs it
)


def check_prices(config: Config, model: Model, stage: str, *, answers: bool = True) -> None:
    """Raises ConfigError where there is a budget, and a price of what `stage` asks the model for, answers or vectors, is not known."""
    unknown, alias = model.unpriced(answers=answers), config.alias_of(model)
    if config.inference.budget_usd is not None and unknown:
        names = " and ".join(f"models.{alias}.{name}" for name in unknown)
        raise ConfigError(
            f"inference.budget_usd is set, but {stage} asks models.{alias}, whose price is not known: "
            f"set {names} ($ per million tokens), or no budget"
        )


def limits_of(hub: Hub, model: Model, prompt_tokens: int, answer_tokens: int, *, known: bool) -> Limits:
    """The limits of a purchase. prompt_tokens, answer_tokens: upper bounds for one request. known: the endpoints have answered before.

    Raises BudgetExceeded if the rest of the budget pays for no request.
    """
    settings = hub.config.inference
    budget, usd_each = settings.budget_usd, model.cost_usd(prompt_tokens, answer_tokens) or 0.0
    if budget is not None:
        budget -= committed_usd(hub.store)
        if budget < usd_each:
            raise BudgetExceeded(BUDGET_MESSAGE)
    return Limits(
        endpoints=tuple(
            EndpointLimits(
                concurrency=one.max_concurrent_requests,
                requests_per_minute=one.max_requests_per_minute,
                tokens_per_minute=one.max_tokens_per_minute,
                name=one.base_url,
                known=known,
            )
            for one in model.pool
        ),
        budget_usd=budget,
        max_error_rate=settings.max_error_rate,
        tokens_each=prompt_tokens + answer_tokens,
        usd_each=usd_each,
        request_timeout=model.request_timeout,
        down_seconds=model.endpoint_down_seconds,
    )


def committed_usd(store: Store) -> float:
    """What was spent over the hub's lifetime, on answers and vectors, and what open batches may cost at most."""
    return spent_usd(store) + sum(one.reserved_usd or 0.0 for one in tables.open_batches(store))


def check_budget(hub: Hub) -> None:
    """Raises BudgetExceeded where the hub has spent its budget: then not even a probe is bought."""
    budget = hub.config.inference.budget_usd
    if budget is not None and (spent := spent_usd(hub.store)) >= budget:
        raise BudgetExceeded(f"{BUDGET_MESSAGE} (inference.budget_usd is ${budget:g}, and the hub has spent ${spent:.4f})")


def spent_usd(store: Store) -> float:
    """Over the hub's lifetime, answers and vectors."""
    costs = store.table("completions").select("cost_usd").unionByName(store.table("embeddings").select("cost_usd"))
    return costs.agg(F.sum("cost_usd")).collect()[0][0] or 0.0


def longest_request(batch: RequestBatch, pending: PendingRequests) -> int:
    """An upper estimate, in tokens of the prompt."""
    fixed = max(characters(prompt, None) for prompt in batch.prompts.values())
    return math.ceil((pending.longest + fixed) / MIN_BYTES_PER_TOKEN)


def longest_prompt(batch: RequestBatch, pending: PendingRequests) -> int:
    """About so many characters."""
    return pending.longest + max(characters_of_template(prompt) for prompt in batch.prompts.values())


def ask_executors(hub: Hub, model: Model, work: Work, governor: Governor, stack: ExitStack) -> tuple[Address | None, str | None]:
    """What the executors can reach: the driver's governor, and the journal's folder; None where they cannot. Says what follows from it.

    The governor's server and the journal's reserve end with `stack`.
    """
    store, config, ui = hub.store, hub.config, hub.ui
    folder, nonce = journal_folder(store, config), secrets.token_hex(8)
    if folder is not None and not journal.write_nonce(folder, nonce):
        folder = None
    local = engines.is_local(store.spark)
    host = "127.0.0.1" if local else store.spark.conf.get("spark.driver.host", socket.gethostname())
    names = [one.api_key_secret for one in model.pool if one.api_key_secret]
    server = stack.enter_context(
        GovernorServer(governor, host="127.0.0.1" if local else "0.0.0.0", advertise=host, secrets=names)
    )
    found = executor.probe_executors(store.spark, model, server.address, folder, nonce, PREFLIGHT_TASKS)
    if found.key_problem:
        raise AuthenticationError(f"the executors cannot read the key: {found.key_problem}")
    if not found.governed:
        if config.inference.budget_usd is not None:
            # each task of each window would start with a share of its own: nothing could hold the sum
            raise ConfigError(
                "inference.budget_usd cannot be held here: the executors cannot reach this driver, whose governor counts what they "
                "spend. Open the way to it (spark.driver.host), or set no budget"
            )
        ui.say("the executors cannot reach this driver: each task works on a fixed share of the limits")
    if not found.journaled and config.inference.journal != "off":
        if config.inference.journal == "on":
            raise ConfigError("inference.journal is on, but the executors do not share its folder: set inference.journal_path")
        bound = commit_floor(config, model, work) * config.inference.concurrent_windows
        ui.say(f"no journal (its folder is not shared with the executors): a kill can cost up to {bound} {work.unit}")
    if folder is not None and found.journaled:
        journal.keep_reserve(folder)
        stack.callback(journal.release_reserve, folder)
    return server.address if found.governed else None, folder if found.journaled else None


def dialect_of(hub: Hub, batch: RequestBatch, model: Model, characters: int = 0) -> Dialect:
    """How an endpoint wants to be asked for these answers; each thing is found out once, and remembered in `endpoint_capabilities`.

    model: the batch's, at one endpoint. characters: of the longest request, which it must read from its beginning. Tells the user what it
    changes of what was asked for, and what of it will get no answer. Raises EndpointError, AuthenticationError where the endpoint does not
    answer, or cuts prompts and does not tell how many tokens it read: nobody could say which answers are good.
    """
    schemas = {prompt.schema_name: prompt.schema for prompt in batch.prompts.values()}
    known = capabilities(hub.store, model, model.model)
    if model.response_format == "auto":
        unknown = {
            name: schema for name, schema in schemas.items() if schema is not None and dialects.of_schema(schema) not in known
        }
        if unknown or dialects.of_parameters(model) not in known:
            so_far = dialects.from_capabilities(model, {}, known)
            found = own_loop.run(probe(model, read_key(model), unknown or schemas, so_far))
            known |= _recorded(hub, batch.stage, model, model.model, found)
    if characters > max(probe_window.READ_BY_ALL, int(known.get(probe_window.READS, 0))):
        so_far = dialects.from_capabilities(model, schemas, known)
        window = own_loop.run(probe_window.probe_window(model, read_key(model), so_far, characters))
        if window.kind is ErrorKind.CONTEXT_CUT and not window.found:
            write_down(hub, batch.stage, model, window)
            raise EndpointError(f"{model.base_url} (model {model.model}): {window.message}")
        known |= _recorded(hub, batch.stage, model, model.model, window, needed=False)
    return dialects.from_capabilities(model, schemas, known)


def encoding_of(hub: Hub, stage: str, model: Model) -> str:
    """How the endpoint sends vectors of this model and its settings; found out once, and remembered in `endpoint_capabilities`."""
    key = key_of(model)
    known = capabilities(hub.store, model, key)
    if "encoding" not in known:
        known = _recorded(hub, stage, model, key, own_loop.run(probe_embeddings(model, read_key(model))))
    return known["encoding"]


def capabilities(store: Store, model: Model, key: str) -> dict[str, str]:
    """What is known of an endpoint: capability -> value, the newest one. key: the column `model`."""
    rows = store.table("endpoint_capabilities").where((F.col("base_url") == model.base_url) & (F.col("model") == key))
    return {row.capability: row.value for row in sorted(rows.collect(), key=lambda row: row.created_at)}


def write_down(hub: Hub, stage: str, model: Model, found: Probe) -> None:
    """What a probe cost, in the ledger; and what it says, to the user."""
    rows = [ledger_row(outcome, PROBE, stage, hub.run_id, model) for outcome in found.outcomes()]
    if rows:
        hub.store.append(hub.store.spark.createDataFrame(pa.Table.from_batches([completions_batch(rows)])), "completions")
    for note in found.notes:
        hub.ui.say(f"models.{hub.config.alias_of(model)}: {note}")


def _recorded(hub: Hub, stage: str, model: Model, key: str, found: Probe, needed: bool = True) -> dict[str, str]:
    """What a probe found, after it and what it cost are written down. needed: raises what it says where it found nothing."""
    write_down(hub, stage, model, found)
    if not found.found and needed:
        if found.kind is ErrorKind.AUTHENTICATION:
            raise AuthenticationError(str(found.message))
        online = (
            " (one small request that is sent online: where only batches are served, set response_format)" * model.batch.enabled
        )
        raise EndpointError(
            f"{model.base_url} does not answer as {model.model}: {found.message}{online}. "
            "`personahub check-models` asks it again, without buying"
        )
    remember(hub, model, key, found.found)
    return dict(found.found)


def remember(hub: Hub, model: Model, key: str, found: Mapping[str, str]) -> None:
    """Rows of `endpoint_capabilities`."""
    now = datetime.now(timezone.utc)
    rows = [(model.base_url, key, capability, value, hub.run_id, now) for capability, value in found.items()]
    hub.store.record(rows, "endpoint_capabilities")
