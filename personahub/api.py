"""The public functions, for notebooks and other code: `import personahub as ph`."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from rich.console import Console

from personahub import config as configuration
from personahub import pipeline, schemas
from personahub.config import Config
from personahub.dedup_tool import Deduplicated, deduplicate_frame
from personahub.errors import InputError
from personahub.render import hops, views
from personahub.render.terminal import new_console
from personahub.storage.hub import Hub
from personahub.text import nearest

__all__ = ["HubHandle", "Shown", "deduplicate", "open"]
deduplicate: Callable[..., Deduplicated] = deduplicate_frame
WIDTH = 110  # columns of what is shown


class Shown:
    """A result that shows itself as the command line prints it, as text and in a notebook.

    value: the result as data. views: functions on a console, each with what else it takes.
    """

    def __init__(self, value: Any, *views: tuple[Any, ...]) -> None:
        self.value, self._views = value, views

    def __repr__(self) -> str:
        console = new_console(file=io.StringIO(), width=WIDTH)
        self._print(console)
        return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]

    def _repr_html_(self) -> str:
        console = new_console(file=io.StringIO(), width=WIDTH, record=True)
        self._print(console)
        return console.export_html(inline_styles=True, code_format='<pre style="line-height: 1.2">{code}</pre>')

    def _print(self, console: Console) -> None:
        for view, *shown in self._views:
            view(console, *shown)


class HubHandle:
    """A hub, by its configuration. Each call opens it for as long as it takes; what spends holds its lease meanwhile.

    Each table is a method that gives a DataFrame: `hub.personas()`, `hub.examples()`, ... (`personahub.schemas` has all).
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    def run(self, *stages: str, rebuild: bool = False, of: str = "personas") -> Shown:
        """Run stages, all of them if none is named; nothing is asked before it buys. value: a StageResult each.

        Raises what `personahub run` exits with: see `personahub.errors`.
        """
        if wrong := [stage for stage in stages if not isinstance(stage, str)]:
            raise InputError(f"{wrong[0]!r} names no stage: name each by itself, as in hub.run('documents', 'dedup')")
        chosen = pipeline.check(self.config, stages, of=of)
        with pipeline.open_hub(self.config, spend=True) as hub:
            results = list(pipeline.run(hub, chosen, rebuild=rebuild, of=of))
        return Shown(results, *((views.result, result) for result in results))

    def estimate(self, *stages: str) -> Shown:
        """What the stages would buy now. value: an Estimate for each stage and purpose. Buys nothing."""
        chosen = pipeline.check(self.config, stages or pipeline.buying(), spend=False)
        return self._shown(lambda hub: pipeline.estimates(hub, chosen), views.estimates)

    def preview(self, stage: str, n: int = 3) -> Shown:
        """Buy the answers of n requests and show them beside the exact prompts; a later run reuses them. value: a Preview each."""
        return self._shown(lambda hub: pipeline.preview(hub, stage, n), views.previews, spend=True)

    def status(self) -> Shown:
        """The funnel, rejects, tokens, dollars, and what a run would still do. value: a Status."""
        with pipeline.open_hub(self.config) as hub:
            found, progress, by_hop = pipeline.status(hub), pipeline.progress(hub), pipeline.hop_report(hub)
        place = self.config.catalog or self.config.root
        return Shown(found, (views.status, found, place, progress), (hops.hops, by_hop))

    def lineage(self, persona_id: str) -> Shown:
        """Where a persona comes from and which were found through it. value: a Lineage. Raises InputError for an unknown id."""
        return self._shown(lambda hub: pipeline.lineage(hub, persona_id), views.lineage)

    def import_personas(self, file: str | Path, column: str = "persona") -> Shown:
        """Personas that exist already become hop-0 rows. value: a StageResult. Raises InputError for a file that is not there."""
        source = pipeline.personas_file(str(file), column)
        return self._shown(lambda hub: pipeline.import_personas(hub, source), views.result, spend=True)

    def forget(self, *ids: str, dry_run: bool = False, purge: bool = False) -> pipeline.Forgotten:
        """Take down documents or personas, and all that derives only from them. Raises InputError for an unknown id, or none."""
        if not ids:
            raise InputError("no id of a document or persona is named: nothing was taken down")
        with pipeline.open_hub(self.config, spend=True) as hub:
            return pipeline.forget(hub, ids, dry_run=dry_run, purge=purge)

    def table(self, name: str) -> DataFrame:
        """A table; one that is absent is empty. Raises InputError for an unknown name."""
        if name not in schemas.TABLES:
            raise InputError(f"a hub has no table {name!r}{nearest(name, schemas.TABLES)}")
        with pipeline.open_hub(self.config) as hub:
            return hub.store.table(name)

    def __getattr__(self, name: str) -> Callable[[], DataFrame]:
        if name in schemas.TABLES:
            return partial(self.table, name)
        raise AttributeError(f"a hub has no {name!r}{nearest(name, [*schemas.TABLES, *vars(type(self))])}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *schemas.TABLES]

    def __repr__(self) -> str:
        return f"personahub.open({self.config.catalog or self.config.root!r})"

    def _shown(self, work: Callable[[Hub], Any], view: Callable[..., object], spend: bool = False) -> Shown:
        with pipeline.open_hub(self.config, spend=spend) as hub:
            value = work(hub)
        return Shown(value, (view, value))


def open(
    root: str | Path | None = None, config: "Config | str | Path | Mapping[str, Any] | Sequence[str | Path] | None" = None
) -> HubHandle:
    """A hub at `root`, a folder that need not be there yet; its session is the notebook's, or one of its own.

    config: a YAML file or several, a mapping of settings ({"models": {"default": {...}}}), or a Config. root wins over their root or
    catalog; without it theirs holds. Raises ConfigError, which names a wrong setting.
    """
    if isinstance(config, Config):
        found = config
    elif isinstance(config, Mapping):
        found = configuration.load_mapping(config)
    else:
        files = [config] if isinstance(config, str | Path) else list(config or ())
        found = configuration.load(files)
    return HubHandle(found if root is None else configuration.at_root(found, root))
