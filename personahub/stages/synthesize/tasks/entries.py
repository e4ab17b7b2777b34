"""What a task's file holds, checked, and the settings that a configuration gives it. See the package for the keys."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from personahub import strict_yaml
from personahub.errors import ConfigError
from personahub.text import nearest

_MUST = {"name", "version", "what", "create", "answer", "schema", "text_field", "checks"}
_MAY = {"parameters": dict, "choices": dict, "required": list, "files": dict, "example": str}
EXAMPLE = "EXAMPLE\n"  # its place in the frame
_KINDS = {list: "list", dict: "mapping", str: "string"}
HOME = "personahub.stages.synthesize.tasks"
CONVERSATION = "conversation"  # of several turns (conversation.py): it has no file
SHARED = ("constraint", "language")  # parameters of every task


def known(folder: str | None) -> dict[str, Any]:
    """The files of all tasks there are, by name. Raises ConfigError if there is no such folder."""
    places: list[Any] = [resources.files(HOME)]
    if folder is not None:
        if not Path(folder).is_dir():
            raise ConfigError(f"synthesis.task_folder: there is no folder {folder}")
        places.append(Path(folder))
    entries = [entry for place in places for entry in place.iterdir()]
    return {
        entry.name.removesuffix(".yaml"): entry
        for entry in entries
        if entry.name.endswith(".yaml") and not entry.name.startswith("_")
    }


def read(name: str, folder: str | None) -> tuple[Any, dict[str, Any]]:
    """The file of a task, and what it holds, the optional keys as well. Raises ConfigError."""
    found = known(folder)
    if name not in found:
        raise ConfigError(f"there is no task {name!r}{nearest(name, [*found, CONVERSATION])}")
    return found[name], _checked(found[name], _yaml(found[name]), name)


def frame() -> dict[str, str]:
    """version, system, example and user, which all tasks share."""
    return _yaml(resources.files(HOME) / "_frame.yaml")


def _yaml(file: Any) -> Any:
    try:
        return strict_yaml.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} can not be read: {error}") from None


def _checked(file: Any, entry: Any, name: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{file}: a task must hold keys and values")
    for key in entry.keys() - _MUST - _MAY.keys():
        raise ConfigError(f"{file}: unknown key {key}{nearest(str(key), [*_MUST, *_MAY])}")
    if missing := sorted(_MUST - entry.keys()):
        raise ConfigError(f"{file}: missing key {', '.join(missing)}")
    entry = {**{key: kind() for key, kind in _MAY.items()}, **entry}
    for key in ("name", "version", "what", "create", "answer", "text_field"):
        if not isinstance(entry[key], str):
            raise ConfigError(f"{file}: {key} must be a string (put it in quotes), not {entry[key]!r}")
    for key, kind in {**_MAY, "schema": dict, "checks": list}.items():
        if not isinstance(entry[key], kind):
            raise ConfigError(f"{file}: {key} must be a {_KINDS[kind]}, not {entry[key]!r}")
    if entry["name"] != name:
        raise ConfigError(f"{file}: the file is called {name}.yaml, but its name is {entry['name']!r}")
    if entry["text_field"] not in entry["schema"].get("properties", {}):
        raise ConfigError(f"{file}: text_field {entry['text_field']!r} is no property of the schema")
    for key in ("choices", "required", "files"):
        if unknown := set(entry[key]) - entry["parameters"].keys():
            raise ConfigError(f"{file}: {key} names {', '.join(sorted(unknown))}, which is not among parameters")
    if taken := entry["parameters"].keys() & {*SHARED, "name", "what", "answer", "persona", "examples", "example_personas"}:
        raise ConfigError(f"{file}: parameters can not be called {', '.join(sorted(taken))}: the frame uses the name")
    return entry


def settled(entry: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that are set, by default or by the configuration, constraint and language. Raises ConfigError."""
    where, known = f"synthesis.tasks: {entry['name']}", entry["parameters"]
    for key in given:
        if key not in known and key not in SHARED:
            raise ConfigError(f"{where}: unknown parameter {key!r}{nearest(key, [*known, *SHARED])}")
    settings = {key: value for key, value in {**known, **given}.items() if value is not None}
    for key, values in entry["choices"].items():
        for value in _each(settings.get(key)):
            if value not in values:
                raise ConfigError(f"{where}: {key} {value!r} is none of {', '.join(map(str, values))}")
    for key in entry["files"]:
        if isinstance(settings.get(key), tuple):
            raise ConfigError(f"{where}: {key} is the path of one file, and can not be drawn")
    for key in entry["required"]:
        if key not in settings:
            raise ConfigError(f"{where} needs {key}: write {{name: {entry['name']}, {key}: ...}}")
    return settings


def values_of(name: str, key: str, value: Any) -> Any:
    """A value or, of a list or a file of values, a tuple of them. Raises ConfigError."""
    where = f"synthesis.tasks: {name}: {key}"
    if isinstance(value, dict):
        if value.keys() != {"file"}:
            raise ConfigError(f"{where} {value!r} is no value: write a text, a list of texts, or {{file: FILE}} with one a line")
        lines = (line.strip() for line in text_of(name, key, value["file"], None).splitlines())
        value = [line for line in lines if line and not line.startswith("#")]
    if isinstance(value, list):
        if not value or not all(isinstance(one, str) and one for one in value):
            raise ConfigError(f"{where} {value!r}: what is drawn from is a list of texts")
        return tuple(dict.fromkeys(value))
    return value


def _each(value: Any) -> tuple[Any, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def text_of(name: str, key: str, path: Any, task_file: Any) -> str:
    given: Any = Path(str(path))
    if task_file is not None and not given.exists() and not given.is_absolute():
        given = resources.files(HOME) / str(path) if not isinstance(task_file, Path) else task_file.parent / str(path)
    try:
        text = given.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"synthesis.tasks: {name}: {key} {path} can not be read: {error}") from None
    if not text:
        raise ConfigError(f"synthesis.tasks: {name}: {key} {path} is empty")
    return text
