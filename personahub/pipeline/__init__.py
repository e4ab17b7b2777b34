"""What is done with a hub: open it, run stages, look ahead, look back, take down. The commands and notebooks call this room."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pyspark.sql import functions as F

from personahub import documents, figures, schemas, stages
from personahub.config import Config, DocumentFilters, Documents, expanded
from personahub.documents.files import kind_of
from personahub.errors import ConfigError, InputError, PersonahubError, TransientFailures
from personahub.pipeline import batches as batches_of_hub
from personahub.pipeline import consent
from personahub.pipeline.batches import batches, can_be_bought, cancel_batches
from personahub.pipeline.endpoints import check_endpoints, is_there, keep_findings
from personahub.pipeline.forget import Forgotten, forget
from personahub.pipeline.opening import open_hub
from personahub.pipeline.preview import Preview, estimates, known_prices, preview
from personahub.pipeline.review import record as import_verdicts
from personahub.pipeline.review import sheet as review_sheet
from personahub.pipeline.review import validity
from personahub.stages import STAGES, dedup, persona_answers, text_to_persona
from personahub.stages.persona_to_persona.forecast import Forecast, forecast
from personahub.stages.runner import StageResult, insert_all, recorded, run_stage
from personahub.stages.stage import Stage
from personahub.storage.hub import Hub, Silent

__all__ = [
    "STAGES",
    "Forecast",
    "Forgotten",
    "Hub",
    "Preview",
    "Silent",
    "StageResult",
    "batches",
    "buying",
    "cancel_batches",
    "check",
    "check_endpoints",
    "estimates",
    "forecast",
    "forget",
    "hop_report",
    "import_personas",
    "import_verdicts",
    "is_there",
    "keep_findings",
    "lineage",
    "open_hub",
    "personas_file",
    "preview",
    "progress",
    "refusals",
    "review_sheet",
    "run",
    "runs",
    "status",
    "validity",
]


def buying() -> tuple[str, ...]:
    """The stages that `estimate` is about, those that were registered included."""
    return tuple(name for name, stage in STAGES.items() if stage.buys_answers or stage.estimate is not None)


def check(config: Config, names: Sequence[str], *, spend: bool = True, of: str = "personas") -> list[str]:
    """What can be known to be wrong before anything starts. Returns the stages in their order, all of them if none is named.

    spend: may they buy? of: see `run`. Raises ConfigError for an unknown stage or task, for settings that can not work, and for a budget
    where the price of a model that a stage asks is not known; InputError for a path that is not there.
    """
    for name in names:
        stages.named(name)
    chosen = [name for name in stages.STAGES if name in names] or list(stages.STAGES)
    for stage in _values(chosen, of=of):
        stage.check(config)
    if spend:
        known_prices(config, _values(chosen, of=of))
        can_be_bought(config, _values(chosen, of=of))
    return chosen


def refusals(config: Config) -> dict[str, str]:
    """By stage, why `check` refuses it; a stage that it lets through is absent."""
    found: dict[str, str] = {}
    for name in stages.STAGES:
        try:
            check(config, [name])
        except PersonahubError as error:
            found[name] = str(error)
    return found


def run(hub: Hub, names: Sequence[str], *, rebuild: bool = False, of: str = "personas") -> Iterator[StageResult]:
    """Each stage in order, a result as it ends; persona-to-persona gives one for each hop and for each dedup between hops.

    rebuild: `dedup` takes its verdicts back first. of: personas or examples, what `dedup` compares. The user agrees once, before the first
    stage that may buy. Raises what ended a stage, after it was committed. Calls that failed transiently stop no stage behind them, which
    works on what there is; TransientFailures is raised at the end.
    """
    chosen = _values(names, rebuild, of)
    known_prices(hub.config, chosen)
    missing: dict[str, int] = {}
    asked = False
    for at, stage in enumerate(chosen):
        if not asked and any(True for _ in stage.models(hub.config)):
            consent.ask(hub, chosen[at:])
            asked = True
        for result in run_stage(hub, stage):
            yield result
            if result.transient:
                missing[result.stage] = missing.get(result.stage, 0) + result.transient
    if missing:
        calls = ", ".join(f"{count} of {stage}" for stage, count in missing.items())
        raise TransientFailures(f"done, but calls failed transiently ({calls}): run again to ask for those")


def personas_file(path: str, column: str = "persona") -> Documents:
    """A jsonl(.gz/.zst) or parquet file of personas, as something to be read. Raises InputError if it is not there; needs no engine."""
    path = expanded(path)
    if not Path(path).exists():
        raise InputError(f"there is no file {path}: name a jsonl, jsonl.gz, jsonl.zst or parquet file")
    unfiltered = DocumentFilters(min_characters=None, max_characters=None)
    return Documents(format=kind_of(path) or "jsonl", path=path, text_column=column, languages=(), filters=unfiltered)


def import_personas(hub: Hub, source: Documents) -> StageResult:
    """Hop-0 personas from a `personas_file`; what is refused goes to rejects with its reason. Nothing is bought."""
    with recorded(hub, "import") as entry, hub.store.scope("import") as materialise:
        read = materialise(documents.read(hub.spark, source), "read")
        if why := documents.why_nothing(read):
            hub.ui.say(f"import: {why}")
        rows, unreadable = documents.split(read, hub.run_id)
        parsed = materialise(text_to_persona.imported(rows, hub.config), "parsed")
        personas, lineage, refused = persona_answers.split(parsed, hub.run_id)
        rejects = refused.unionByName(unreadable.withColumn("stage", F.lit("import")))
        rejects = documents.with_ids_of_their_own(rejects, hub.store.table("rejects"), materialise)
        entry.counts |= insert_all(hub, persona_answers.WRITES, (personas, lineage, rejects))
    assert entry.result is not None
    return entry.result


def status(hub: Hub) -> figures.Status:
    """Figures from the tables."""
    return figures.status(hub.store.table, tuple(stages.STAGES))


def progress(hub: Hub) -> list[str]:
    """Sentences about what a run of each stage would still do; of a hub that is not there, that it is not."""
    if not any(map(hub.store.exists, schemas.TABLES)):
        return [
            f"there is no hub at {hub.config.catalog or hub.config.root} yet: `personahub run` makes it, or set root to where yours is"
        ]
    of_stages = [sentence for stage in stages.STAGES.values() for sentence in stage.progress(hub)]
    return [*batches_of_hub.sentences(hub), *of_stages]


def hop_report(hub: Hub) -> tuple[figures.Hop, ...]:
    """Persona-to-persona hop by hop; of a hub that has asked no persona, hop 0 alone."""
    return figures.hops(hub.store.table)


def lineage(hub: Hub, persona_id: str) -> figures.Lineage:
    """Where a persona comes from and which were found through it. Raises InputError if there is none of this id."""
    found = figures.lineage(hub.store.table, persona_id)
    if found is None:
        raise InputError(f"the hub has no persona {persona_id}: give a persona_id as the table personas has it")
    return found


def runs(hub: Hub, n: int) -> tuple[figures.Run, ...]:
    """The last `n` stages that ran, newest first. One that was killed is not among them: it could record nothing."""
    return figures.runs(hub.store.table("runs"), n)


def _values(names: Sequence[str], rebuild: bool = False, of: str = "personas") -> list[Stage]:
    if of not in ("personas", "examples"):
        raise ConfigError(f"dedup compares personas or examples, not {of!r}")
    if (rebuild or of != "personas") and dedup.NAME not in names:
        raise ConfigError("what dedup compares, and whether it decides again, hold for dedup: name it among the stages")
    return [dedup.variant(rebuild, of) if name == dedup.NAME else stages.named(name) for name in names]
