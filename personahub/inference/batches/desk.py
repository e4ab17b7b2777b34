"""One batch at its endpoint: submitted, found again after a kill, looked at, collected, cancelled."""

import time
from contextlib import ExitStack, suppress
from typing import Any

import orjson

from personahub.config import Model
from personahub.errors import AuthenticationError, ConfigError, EndpointError, ErrorKind
from personahub.ids import canonical_json, content_id
from personahub.inference.batches import tables
from personahub.inference.batches.answers import Answers, Asked, read
from personahub.inference.batches.requests import Line
from personahub.inference.batches.states import COLLECTED, ENDED, ENDED_THERE, NOT_MADE, RUNNING, SUBMITTING, BatchState
from personahub.inference.chat_work import ledger_row
from personahub.inference.recovery import PORTION, save_answers
from personahub.llm.batches import OUR_NAME, BatchClient, ProviderBatch, UnknownThere, Unreachable
from personahub.llm.keys import read_key
from personahub.llm.types import ChatCall
from personahub.prompts import Prompt
from personahub.storage.hub import Hub

CLOCKS = 3600.0  # seconds that the endpoint's clock may be behind ours
_GIVE_UP = "If the batch is gone for good, `personahub batches cancel` gives it up, and its requests are asked again"
LOOK_AGAIN = 1.0  # seconds until a batch that was not there is looked for once more


class Desk:
    """Clients of the endpoints of a hub's batches, and what is done with one batch. Use with `with`."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.store = hub, hub.store
        self._clients: dict[tuple[str, str], BatchClient] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def submit(self, lines: list[Line], stage: str, purpose: str, model: Model, prompts: dict[str, Prompt]) -> BatchState:
        """Buy these requests as one batch. Its row is written before the endpoint is asked for it: a kill in between loses no batch."""
        name = content_id(canonical_json([self.hub.run_id, time.time_ns(), [line.call.completion_id for line in lines]]))
        usd = [line.usd for line in lines]
        client = self._client(model)
        file_id = client.upload(name, b"".join(line.content for line in lines))
        tables.record_requests(self.store, name, lines)
        now = int(time.time() * 1e6)
        state = BatchState(
            batch_id=name,
            step=0,
            state=SUBMITTING,
            stage=stage,
            purpose=purpose,
            model=model.model,
            base_url=model.base_url,
            requests=len(lines),
            prompt_tokens=sum(line.prompt_tokens for line in lines),
            reserved_usd=None if None in usd else sum(one for one in usd if one is not None),
            prompts=_read_by(prompts),
            provider_file_id=file_id,
            provider_batch_id=None,
            provider_status=None,
            completed=0,
            failed=0,
            error=None,
            run_id=self.hub.run_id,
            created_at=now,
            submitted_at=now,
        )
        tables.record(self.store, state)
        about = {OUR_NAME: name, "stage": stage, "run": self.hub.run_id}
        try:
            made: ProviderBatch | None = client.create(file_id, about)
        except Unreachable:  # no response: it may be there all the same
            return self.find(state)
        except EndpointError as error:
            tables.record(self.store, state.moved(NOT_MADE, error=str(error)))
            raise
        return self._made(state, made)

    def find(self, state: BatchState) -> BatchState:
        """Whether a batch of which the endpoint's id is not known, since the run ended too early, is at the endpoint, or was never made.

        Before the latter is taken for true its file is deleted: a request for the batch that is still on its way then finds nothing to buy.
        """
        client = self._client(self._model_of(state))
        try:
            there = _look_for(client, state)
            if there is None:
                if state.provider_file_id:
                    with suppress(UnknownThere):
                        client.delete_file(state.provider_file_id)
                time.sleep(LOOK_AGAIN)
                there = _look_for(client, state)
        except UnknownThere as error:
            raise UnknownThere(f"{error}: the endpoint does not tell whether batch {state.short} was made. {_GIVE_UP}") from None
        return self._made(state, there)

    def look(self, state: BatchState) -> BatchState:
        """As it stands at the endpoint now; where it has ended, with its answers in the ledger. Raises what its requests met alike."""
        if state.state == SUBMITTING:
            state = self.find(state)
        if not state.is_open:
            return state
        assert state.provider_batch_id is not None
        model = self._model_of(state)
        client = self._client(model)
        try:
            there = client.get(state.provider_batch_id)
        except UnknownThere as error:
            raise EndpointError(
                f"{error}: the endpoint does not know batch {state.short} ({state.provider_batch_id}), which it had. Is the key that of "
                f"another project? {_GIVE_UP}"
            ) from None
        told = {"provider_status": there.status, "completed": there.completed, "failed": there.failed}
        if there.status not in ENDED_THERE:
            moved = state.moved(RUNNING, **told)
            return tables.record(self.store, moved) if there.status != state.provider_status else moved
        if state.state != ENDED:
            why = "; ".join(f"{code}: {message}" for code, message in there.errors[:3]) or None
            state = tables.record(self.store, state.moved(ENDED, error=why, **told))
            try:
                return self._collect(state, there, client, model)
            except Unreachable:  # the next look collects it
                return state
        return self._collect(state, there, client, model)

    def cancel(self, state: BatchState) -> BatchState:
        """Ask the endpoint to end a batch; what it has answered by then is collected like any other. One that it does not know is given
        up.
        """
        try:
            if state.state == SUBMITTING:
                state = self.find(state)
            if state.state != RUNNING or state.provider_batch_id is None:
                return state
            there = self._client(self._model_of(state)).cancel(state.provider_batch_id)
        except UnknownThere as error:
            return tables.record(self.store, state.moved(NOT_MADE, error=f"given up: {error}"))
        return tables.record(self.store, state.moved(RUNNING, provider_status=there.status))

    # -- inside ----------------------------------------------------------------------------------------------------------------------

    def _made(self, state: BatchState, there: ProviderBatch | None) -> BatchState:
        if there is None:
            self.hub.ui.say(f"{state.stage}: batch {state.short} was never made at the endpoint: its requests are pending again")
            return tables.record(self.store, state.moved(NOT_MADE, error="the endpoint has no such batch"))
        return tables.record(self.store, state.moved(RUNNING, provider_batch_id=there.id, provider_status=there.status))

    def _collect(self, state: BatchState, there: ProviderBatch, client: BatchClient, model: Model) -> BatchState:
        lines = [line for file in there.output_files for line in client.lines(file)]
        found = read(lines, self._asked(state), self._has_served(state), model.max_answer_tokens, state.created_at / 1e6)
        priced = model.in_batches()
        rows = [ledger_row(outcome, state.stage, state.purpose, self.hub.run_id, priced) for outcome in found.outcomes]
        for start in range(0, len(rows), PORTION):
            save_answers(self.store, rows[start : start + PORTION])
        state = tables.record(self.store, state.moved(COLLECTED))
        self.hub.ui.say(_told(state, found))
        _raise_what_all_met(state, found, self.hub.config.inference.max_error_rate)
        return state

    def _asked(self, state: BatchState) -> dict[str, Asked]:
        read_by: dict[str, Any] = orjson.loads(state.prompts)
        asked = {}
        for row in tables.requests_of(self.store, state).collect():
            prompt = read_by[row.prompt_name]
            call = ChatCall(
                completion_id=row.completion_id,
                source_id=row.source_id,
                sample_index=row.sample_index,
                prompt_name=row.prompt_name,
                prompt_version=prompt["version"],
                messages=[],
                schema=prompt["schema"],
            )
            asked[row.completion_id] = Asked(call, row.sent_bytes, row.bad_answers)
        return asked

    def _has_served(self, state: BatchState) -> bool:
        good = self.store.table("completions").where("final AND error_kind IS NULL")
        return not good.where(good.stage == state.stage).isEmpty()

    def _model_of(self, state: BatchState) -> Model:
        """The settings by which the endpoint of a batch is reached, whatever alias they have by now."""
        models = self.hub.config.models.values()
        for model in models:
            if (model.model, model.base_url) == (state.model, state.base_url):
                return model
        raise ConfigError(
            f"batch {state.short} was bought from {state.model} at {state.base_url}, which no entry under models names any more: "
            "put one back, so that its answers can be collected"
        )

    def _client(self, model: Model) -> BatchClient:
        key = (model.base_url, model.model)
        if key not in self._clients:
            self._clients[key] = self._stack.enter_context(BatchClient(model, read_key(model)))
        return self._clients[key]


def _look_for(client: BatchClient, state: BatchState) -> ProviderBatch | None:
    """By our name among its metadata, or by its file: some endpoints drop metadata."""
    for one in client.since(state.submitted_at / 1e6 - CLOCKS):
        if one.name == state.batch_id or (one.input_file_id and one.input_file_id == state.provider_file_id):
            return one
    return None


def _read_by(prompts: dict[str, Prompt]) -> str:
    return canonical_json({name: {"version": prompt.version, "schema": prompt.schema} for name, prompt in prompts.items()})


def _raise_what_all_met(state: BatchState, found: Answers, max_error_rate: float) -> None:
    where = f"{state.base_url} (batches of {state.model})"
    if found.fatal is not None:
        error = AuthenticationError if found.fatal.kind is ErrorKind.AUTHENTICATION else EndpointError
        raise error(f"{where}: {found.fatal.message}")
    if found.refusal is not None:
        raise EndpointError(
            f"{where} refused every request alike, which is no verdict on any of them: {found.refusal}. "
            "Run again once that is put right"
        )
    if found.too_many_failed(max_error_rate):
        raise EndpointError(
            f"{where}: more than inference.max_error_rate of the {len(found.outcomes):,} requests of batch {state.short} failed "
            f"({_counted(found)}). Run again to go on"
        )


def _counted(found: Answers) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in found.kinds.most_common())


def _told(state: BatchState, found: Answers) -> str:
    final = sum(outcome.final for outcome in found.outcomes)
    parts = [f"{state.stage}: batch {state.short} {state.provider_status}: {final:,} of {state.requests:,} answered"]
    parts += [_counted(found)] if found.kinds else []
    parts += [f"{found.repeated:,} lines told a request again, and {found.unknown:,} are of none of ours"] * bool(
        found.repeated or found.unknown
    )
    parts += [state.error] if state.error else []
    return "; ".join(parts)
