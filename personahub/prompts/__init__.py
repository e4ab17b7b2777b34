"""Prompts are data: one YAML file each, with its version, its messages as Jinja2 templates and the JSON Schema of the answer.

A file holds exactly these keys:

    name        the file's name without .yaml
    version     a string; change it whenever a change of the wording shall buy new answers (it is part of the completion id, while
                comments, layout and the wording itself are not)
    system      template; holds no data, so that an endpoint can cache it as a prefix
    user        template; one that is "{{ messages }}" and nothing else sends the chat messages of that variable, [{role, content}]
    variables   the names that the two templates use, no more and no fewer
    data        which of these hold text from elsewhere, or a list of such texts, each with the name of its delimiter: {text: document}
    schema      the JSON Schema of the answer, or null for free text; every object closed and all its properties required, as strict
                structured output asks for

Data is a value, never template source. It is rendered between <document-CODE> and </document-CODE>, where the code is derived
from the content and does not occur in it, so that no text can close its own delimiter; what a chat template could take for a turn
is defused too.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from personahub import ids, strict_yaml
from personahub.config import Model
from personahub.errors import ConfigError
from personahub.text import nearest

_KEYS = {"name", "version", "system", "user", "variables", "data", "schema"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
MESSAGES = "{{ messages }}"
# what endpoints tokenise as the beginning or the end of a turn, a thought or a call, wherever it stands: <|im_end|>, <end_of_turn>, </s>,
# [/INST], [TOOL_CALLS], <｜User｜>, <eos>, <extra_id_1>, <tool_call>, ...
_MARKS = (
    r"[|｜]|/?s>|/?[be]os>|pad>|unk>|/?think(?:ing)?>|(?:start|end)_of_(?:turn|image|utterance)>|</?SYS>|/?answer_schema>|extra_id_\d|unused\d"
    r"|/?tool_(?:call|response|result)s?>|/?(?:system|user|assistant|function)[_-]?(?:start|end|turn)?>|/?(?:seed|reserved)[:_]"
)
_BRACKETED = re.compile(
    r"\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS?|RESULTS?|CONTENT)|ARGS|CALL_ID|THINK|PREFIX|MIDDLE|SUFFIX|IMG(?:_\w+)?"
    r"|[gs]MASK|CONTROL_\d+))\]"
)
_ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A loaded prompt: plain values, so that it travels to the workers; each process compiles its templates once.

    system, user: template source. data: variable -> the delimiter it is rendered between. constants: what templates use and what is the
    same in all requests, such as a setting or the text of a file; a hash of them is part of the version.
    """

    name: str
    version: str
    schema: dict[str, Any] | None
    variables: frozenset[str]
    data: dict[str, str]
    system: str
    user: str
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def schema_name(self) -> str:
        """The name under which the schema is sent to the endpoint."""
        return self.name

    def render(self, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """The chat messages; equal variables give equal bytes. Raises ConfigError if the variables are not those declared."""
        if variables.keys() != self.variables:
            raise ConfigError(
                f"prompt {self.name} takes the variables {', '.join(sorted(self.variables))}; got {', '.join(sorted(variables))}"
            )
        # each with a code of its own: what is the same in all requests keeps the same bytes, so that an endpoint can cache it
        values = {**_all_fenced(self.constants, self.data), **_all_fenced(variables, self.data)}
        try:
            system, user = _template(self.system).render(values), _template(self.user).render(values)
        except TemplateError as error:
            raise ConfigError(f"prompt {self.name} cannot be rendered: {error}") from error
        said = values["messages"] if self.user.strip() == MESSAGES else [{"role": "user", "content": user.strip()}]
        return [{"role": "system", "content": system.strip()}, *said]

    def own_words(self, variables: Mapping[str, Any]) -> str:
        """What `render` would send but for the data, which is left out: the instructions and the example, in the settings of a request.

        Answers that repeat these are no answers. variables: as in `render`; those that hold data may be missing.
        """
        values: dict[str, Any] = {**self.constants, **variables, **dict.fromkeys(self.data, "")}
        try:
            return "\n".join(_template(source).render(values).strip() for source in (self.system, self.user))
        except TemplateError as error:
            raise ConfigError(f"prompt {self.name} cannot be rendered: {error}") from error

    def completion_ids(self, model: Model) -> Callable[[str, int], str]:
        """From variables in canonical JSON and a sample_index to the id of this model's answer to this prompt."""
        return ids.completion_ids(
            prompt_name=self.name,
            prompt_version=self.version,
            answer_schema=self.schema,
            model=model.model,
            generation_params=model.answer_params,
        )


@cache
def load(name: str, folder: str | Path | None = None) -> Prompt:
    """The prompt `<folder>/<name>.yaml`, by default one of the package's own; read and compiled once per process.

    Raises ConfigError: no such prompt (it names the nearest), an unknown or missing key, a template that does not compile or uses
    other variables than those declared, a schema that strict structured output would refuse.
    """
    home: Any = Path(folder) if folder is not None else resources.files(__name__)
    file = home / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not file.is_file():
        known = (entry.name.removesuffix(".yaml") for entry in home.iterdir() if entry.name.endswith(".yaml"))
        raise ConfigError(f"there is no prompt {name!r} in {home}{nearest(name, known)}")
    try:
        entry = strict_yaml.parse(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from None
    try:
        return compiled(name, entry)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def by_name(name: str) -> dict[str, Prompt]:
    """One prompt of the package, under its name: as a batch of requests takes its prompts."""
    return {name: load(name)}


def compiled(name: str, entry: Any, constants: Mapping[str, Any] | None = None) -> Prompt:
    """The prompt of an entry with the keys above, which declares its constants among the variables. Raises ConfigError."""
    constants = dict(constants or {})
    if not isinstance(entry, dict):
        raise ConfigError("a prompt must hold keys and values")
    if entry.keys() != _KEYS:
        unknown, missing = sorted(map(str, entry.keys() - _KEYS)), sorted(_KEYS - entry.keys())
        what = [f"unknown key {key}" for key in unknown] + [f"missing key {key}" for key in missing]
        raise ConfigError(f"{', '.join(what)}; a prompt holds exactly {', '.join(sorted(_KEYS))}")
    for key in ("name", "version", "system", "user"):
        if not isinstance(entry[key], str):
            raise ConfigError(f"{key} must be a string (put it in quotes), not {entry[key]!r}")
    if entry["name"] != name:
        raise ConfigError(f"the file is called {name}.yaml, but its name is {entry['name']!r}")
    declared, data = entry["variables"], entry["data"]
    if not isinstance(declared, list) or not isinstance(data, dict):
        raise ConfigError("variables must be a list of names, data a mapping from a variable to its delimiter")
    used = {key: _variables(key, entry[key]) for key in ("system", "user")}
    if set(declared) != used["system"] | used["user"]:
        raise ConfigError(f"variables declares {sorted(declared)}, the templates use {sorted(used['system'] | used['user'])}")
    if not set(data) <= used["user"] - used["system"] or not all(_NAME.fullmatch(str(tag)) for tag in data.values()):
        raise ConfigError(f"data {data} must name variables of the user template only (never of system), each with a simple tag")
    if entry["schema"] is not None:
        for problem in _loose("schema", entry["schema"]):
            raise ConfigError(problem)
    return Prompt(
        name=name,
        version=f"{entry['version']}-{ids.content_id(ids.canonical_json(constants))[:12]}" if constants else entry["version"],
        schema=entry["schema"],
        variables=frozenset(declared) - constants.keys(),
        data=data,
        system=entry["system"],
        user=entry["user"],
        constants=constants,
    )


def rendered(source: str, values: Mapping[str, Any]) -> str:
    """A template by itself. Raises ValueError if it cannot be rendered."""
    try:
        return _template(source).render(values).strip()
    except TemplateError as error:
        raise ValueError(str(error)) from error


@cache
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


def _variables(key: str, source: str) -> set[str]:
    try:
        tree = _ENVIRONMENT.parse(source)
        _template(source)  # the compiler finds what the parser lets through, such as an unknown filter
        return meta.find_undeclared_variables(tree)
    except TemplateError as error:
        raise ConfigError(f"{key} is not a valid template: {error}") from None


def _loose(where: str, schema: Any) -> Iterator[str]:
    """What strict structured output refuses: an open object, an optional property."""
    if not isinstance(schema, dict):
        yield f"{where} must be a JSON Schema, not {schema!r}"
        return
    if schema.get("type") == "object":
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False:
            yield f"{where} must say additionalProperties: false"
        if sorted(schema.get("required") or []) != sorted(properties):
            yield f"{where} must list all its properties under required"
        for name, inner in properties.items():
            yield from _loose(f"{where}.properties.{name}", inner)
    if "items" in schema:
        yield from _loose(f"{where}.items", schema["items"])
    for number, inner in enumerate(schema.get("anyOf", ())):
        yield from _loose(f"{where}.anyOf.{number}", inner)


def _all_fenced(variables: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: _texts(name, variables[name]) for name in data if name in variables}
    if not texts:
        return dict(variables)
    code = _code(variables, [text for several in texts.values() for text in several])
    fenced = {name: [_fenced(data[name], code, text) for text in several] for name, several in texts.items()}
    return {
        **variables,
        **{name: several if isinstance(variables[name], list) else several[0] for name, several in fenced.items()},
    }


def _texts(variable: str, value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise ConfigError(f"variable {variable} must be text or a list of texts, not {type(text).__name__}")
    return texts


def _code(variables: Mapping[str, Any], texts: list[str]) -> str:
    """Eight hex digits that follow from the content and do not occur in it."""
    code = ids.content_id(ids.canonical_json(dict(variables)))[:8]
    while any(code in text for text in texts):
        code = ids.content_id(code)[:8]
    return code


def _fenced(tag: str, code: str, text: str) -> str:
    text = _BRACKETED.sub(r"(\1)", _lookalikes(tag).sub("‹", text))
    return f"<{tag}-{code}>\n{text}\n</{tag}-{code}>"


@cache
def _lookalikes(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(?=(?i:\s*/?\s*{tag}\b|{_MARKS}))")
