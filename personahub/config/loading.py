"""Files overlay the defaults, `key=value` overrides go on top; what is wrong is named by its path."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from personahub import strict_yaml
from personahub.config.config import Config
from personahub.config.documents import Bounds, DocumentFilters, Documents
from personahub.config.models import Endpoint, Model
from personahub.errors import ConfigError
from personahub.text import nearest

# keys of earlier versions: an old one is an error that names the new one
RENAMED = {
    "generate": "inference",
    "inference.commit_every": "inference.requests_per_commit",
    "inference.windows_in_flight": "inference.concurrent_windows",
    "persona_to_persona.children_per_relation": "persona_to_persona.personas_per_relation",
    "persona_to_persona.frontier_draw": "persona_to_persona.frontier_sampling",
    "synthesis.accepted": "synthesis.target_accepted",
    "synthesis.candidate_budget": "synthesis.max_candidates",
    "synthesis.per_persona": "synthesis.samples_per_persona",
    "synthesis.persona_draw": "synthesis.persona_sampling",
    "synthesis.fit": "synthesis.topic_similarity: true or false",
    "synthesis.few_shot.pool": "synthesis.few_shot.pool_size",
    "synthesis.few_shot.draw": "synthesis.few_shot.selection: random or knn",
}


def load(files: Iterable[str | Path] = (), overrides: Iterable[str] = ()) -> Config:
    """Defaults, then each YAML file in order, then each `a.b=value` (the value is YAML too).

    Raises ConfigError: it names the dotted path and, for an unknown key, the nearest right one.
    """
    data: dict[str, Any] = Config().model_dump(mode="json")
    for file in files:
        data = _overlay(data, _read(Path(file)))
    for override in overrides:
        data = _overlay(data, _parse_override(override))
    return _validated(data)


def load_mapping(settings: Mapping[str, Any]) -> Config:
    """Defaults, then the settings; a key may be a dotted path, a path an `os.PathLike`. Raises ConfigError as `load` does."""
    data: dict[str, Any] = Config().model_dump(mode="json")
    for key, value in settings.items():
        data = _overlay(data, _nested(str(key), value))
    return _validated(data)


def at_root(config: Config, root: str | os.PathLike[str]) -> Config:
    """The same settings for a hub in the folder `root`, in place of theirs or of their catalog. Raises ConfigError as `load` does."""
    return _validated(config.model_dump(mode="json") | {"root": root, "catalog": None})


def _validated(data: dict[str, Any]) -> Config:
    try:
        # JSON mode: strict types, yet lists become tuples
        config = Config.model_validate_json(json.dumps(data, default=os.fspath))
    except (TypeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None
        raise ConfigError(f"a value in the configuration is not plain YAML data (quote dates): {error}") from None
    # a hub in a folder of that name would be another one, which buys all anew, once the variable is set
    for key, path in (("root", config.root), ("inference.journal_path", config.inference.journal_path or "")):
        if (unset := re.search(r"\$(\{\w+\}|[A-Za-z_]\w*)", path)) and "://" not in path:
            raise ConfigError(f"config key {key}: {unset[0]} is not set in the environment (got {path!r})")
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        data = strict_yaml.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold keys and values, not a {type(data).__name__}")
    return data


def _parse_override(override: str) -> dict[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set takes key=value, for example inference.budget_usd=5; got {override!r}")
    try:
        parsed = strict_yaml.parse(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: the value is not valid YAML: {error}") from None
    return _nested(key, parsed)


def _nested(key: str, value: Any) -> dict[str, Any]:
    dots = 2 if key.strip().startswith("spark.conf.") else -1  # the keys of Spark have dots of their own
    for part in reversed(key.strip().split(".", dots)):
        value = {part: value}
    return value  # type: ignore[no-any-return]


# what these hold is replaced as a whole: a user's own generation_params or signals do not mix with the defaults
_WHOLE = {"generation_params", "signals"}


def _overlay(below: dict[str, Any], above: Mapping[Any, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, Mapping) and key not in _WHOLE:
            value = _overlay(old, value)
        merged[str(key)] = value
    return merged


def _explain(problem: Any) -> str:
    path = [part for part in problem["loc"] if not (isinstance(part, str) and ("[" in part or "literal" in part))]
    where = ".".join(str(part) for part in path)
    if problem["type"] == "extra_forbidden":
        if where in RENAMED:
            return _renamed(where, problem["input"])
        return f"unknown config key {where}{nearest(str(path[-1]), _keys_beside(path), '.'.join(map(str, path[:-1])))}"
    message = problem["msg"].removeprefix("Value error, ")
    if _SECRET.search(where):  # a key where the name of its variable belongs is not shown
        return f"config key {where}: {message}"
    if not where or isinstance(problem["input"], dict):  # a rule between keys: the whole block is no help
        return f"config key {where}: {message}" if where else message
    return f"config key {where}: {message} (got {problem['input']!r})"


_SECRET = re.compile(r"key|token(?!s)|secret|password|base_url|headers|query", re.IGNORECASE)


def _renamed(old: str, value: Any) -> str:
    """A line for the key, or for each key of a block."""
    new = RENAMED[old]
    keys = {f"{old}.{key}": f"{new}.{key}" for key in value} if isinstance(value, dict) else {}
    return "\n".join(f"config key {key} is now called {RENAMED.get(now, now)}" for key, now in (keys or {old: new}).items())


def _keys_beside(path: list[Any]) -> list[str]:
    """The keys of the level that the last part of `path` was looked up in. Of entries with names of one's own (models, signals), or with
    none (endpoints), each has the keys of any other.
    """
    signals = DocumentFilters(signals={"": Bounds()})
    models = {"default": Model(endpoints=(Endpoint(base_url="http://localhost"),))}
    level: Any = Config(documents=Documents(filters=signals), models=models).model_dump()
    for part in path[:-1]:
        level = level[0] if isinstance(level, tuple | list) else level.get(part, next(iter(level.values())))
    return list(level)
