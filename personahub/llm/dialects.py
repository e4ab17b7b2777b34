"""What a request's body must look like for one endpoint and model.

Servers that call themselves OpenAI-compatible differ in the names of parameters, in those that they refuse, and in the structured output
that a schema gets through. What differs is found out by `probe` before a run, learned from refusals during it, and kept as rows of
`endpoint_capabilities`. No id of a completion knows of it: ids hold what the user asked for.

What servers refuse: max_tokens and temperature (koosoli/ESPHomeDesigner#379), seed, user and whatever is not theirs
(mistralai/platform-docs-public#7), a schema for one of its keywords (ggml-org/llama.cpp#26596, where it says maxLength; Gemini and others
have lists of their own), json_schema as such (DeepSeek: llm-exe#662).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from personahub.config import Model
from personahub.ids import canonical_json, content_id

ResponseFormat = Literal["json_schema", "json_object", "none"]

FORMATS: tuple[ResponseFormat, ...] = ("json_schema", "json_object", "none")  # a weaker one after a stronger one
# one thing under two names: reasoning models know max_completion_tokens only, Mistral max_tokens and random_seed
_OTHER_NAME = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "seed": "random_seed",
    "random_seed": "seed",
}
_BOUNDS = frozenset({"max_tokens", "max_completion_tokens"})  # never left out: what an answer may cost hangs on it
# what a message says of a parameter that the endpoint has no use for, and not of a value that is too large
_UNKNOWN = re.compile(
    r"unsupported|not support|unrecognized|unknown (name|field|param|arg)|not permitted|not allowed|unexpected|extra (input|field)"
    r"|deprecated|no longer|cannot both|not available",
    re.IGNORECASE,
)
_SHORT = 12  # hex digits of an id within the name of a capability


@dataclass(frozen=True, slots=True)
class Dialect:
    """The way of one endpoint and model; a plain value, which travels to the workers.

    response_format: of a schema that `formats` does not name. formats: the one that gets through, by the name under which a schema is
    sent. steps_down: whether a weaker one may be taken, which the user's own choice forbids. cut_at: the prompt tokens that this
    endpoint tells of a prompt whose front it has cut off; None where none was seen.
    """

    response_format: ResponseFormat = "json_schema"
    formats: tuple[tuple[str, ResponseFormat], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    steps_down: bool = True
    cut_at: int | None = None

    def params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The user's generation_params as this endpoint takes them."""
        if not (self.renamed or self.dropped):
            return dict(params)
        names = dict(self.renamed)
        return {names.get(name, name): value for name, value in params.items() if name not in self.dropped}

    def format_of(self, schema_name: str) -> ResponseFormat:
        return next((found for name, found in self.formats if name == schema_name), self.response_format)

    def with_format(self, schema_name: str, response_format: ResponseFormat) -> "Dialect":
        others = tuple(pair for pair in self.formats if pair[0] != schema_name)
        return replace(self, formats=(*others, (schema_name, response_format)))

    def stepped_down(self, schema_name: str) -> "Dialect | None":
        """With the next weaker response_format for this schema alone; None where there is none, or it may not be taken."""
        weaker = FORMATS[FORMATS.index(self.format_of(schema_name)) + 1 :]
        return self.with_format(schema_name, weaker[0]) if weaker and self.steps_down else None

    def told(self, params: Mapping[str, Any]) -> list[str]:
        """What it changes of the user's parameters, a sentence each."""
        said = [f"{name} is sent as {other}" for name, other in self.renamed if name in params and name not in self.dropped]
        return said + [f"{name} is left out, as the endpoint refuses it" for name in self.dropped if name in params]


def adapt(dialect: Dialect, named: Iterable[str], params: Mapping[str, Any], schema_name: str | None = None) -> Dialect | None:
    """The dialect that does without what a refusal names: the parameter's other name, or none, or for `response_format` a weaker one.

    named: parameters as they were sent. None where nothing of it can be said in another way: nobody named it, or max_tokens is refused
    under both names.
    """
    changed = dialect
    for name in named:
        if name.startswith("response_format"):
            if schema_name is not None:
                changed = changed.stepped_down(schema_name) or changed
            continue
        renamed = dict(changed.renamed)
        own = next((own for own in params if renamed.get(own, own) == name and own not in changed.dropped), None)
        if own is None:
            continue
        other = _OTHER_NAME.get(own)
        if own not in renamed and other is not None and other not in params:
            changed = replace(changed, renamed=(*changed.renamed, (own, other)))
        elif own not in _BOUNDS or other in params:
            changed = replace(changed, dropped=(*changed.dropped, own))
    return None if changed == dialect else changed


def named_in(message: str | None, sent: Iterable[str]) -> tuple[str, ...]:
    """The first of the parameters `sent` that a refusal without any code names in its words. For requests that hold no text of a user's:
    such a text may be echoed.
    """
    if not message or not _UNKNOWN.search(message):
        return ()
    found = ((match.start(), name) for name in sent if (match := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", message)))
    return tuple(name for _, name in sorted(found)[:1])


# -- as rows of `endpoint_capabilities` ---------------------------------------------------------------------------------------------------

CUT_AT = "cut_at"


def of_parameters(model: Model) -> str:
    """The capability that says how these generation_params are sent."""
    return f"parameters {content_id(canonical_json(model.generation_params))[:_SHORT]}"


def of_schema(schema: Mapping[str, Any]) -> str:
    """The capability that says which response_format this schema gets through."""
    return f"response_format {content_id(canonical_json(schema))[:_SHORT]}"


def parameters(dialect: Dialect) -> str:
    """The value of the capability `of_parameters`."""
    return canonical_json({"renamed": dict(dialect.renamed), "dropped": list(dialect.dropped)})


def from_capabilities(model: Model, schemas: Mapping[str, Mapping[str, Any] | None], known: Mapping[str, str]) -> Dialect:
    """The dialect for these schemas, by their names. known: capability -> value."""
    said = json.loads(known.get(of_parameters(model), "{}"))
    cut_at = known.get(CUT_AT)
    common = Dialect(
        renamed=tuple(said.get("renamed", {}).items()),
        dropped=tuple(said.get("dropped", ())),
        cut_at=int(cut_at) if cut_at else None,
    )
    if model.response_format != "auto":
        return replace(common, response_format=model.response_format, steps_down=False)
    for name, schema in schemas.items():
        found = None if schema is None else known.get(of_schema(schema))
        if found in FORMATS:
            common = common.with_format(name, found)
    return common
