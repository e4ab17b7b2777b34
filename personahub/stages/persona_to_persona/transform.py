"""Persona-to-Persona (paper, section 2.2): who is in a close relationship with a persona. Pure: nothing is bought or written here.

One hop: `build` makes the requests of those who are asked, `parse` reads the answers back. Which relations a persona is asked for is a
function of its id and of the relations' names alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import orjson
import yaml
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from personahub import ids, prompts, schemas, strict_yaml
from personahub.config import Config
from personahub.config import Relation as RelationToText
from personahub.errors import ConfigError
from personahub.filters import Shown, language
from personahub.rows import map_rows
from personahub.stages.persona_answers import PARSED, Item, parse_answer, row_of
from personahub.stages.requests import request_row
from personahub.text import tokens, words

NAME = "persona-to-persona"
PROMPT = "persona_to_persona"
OF_TEXTS = get_args(RelationToText)
_MORE = re.compile(r"[,.;:(]|\b(?:who|whom|whose|that|which|with|in|at|of|for|from|is|has)\b", re.I)
SAME = 0.9  # Jaccard similarity of the words from which on a child is its parent again


@dataclass(frozen=True, slots=True)
class Relation:
    """`who` ends the sentence "someone who ..."."""

    name: str
    who: str


def load_relations(path: str | None) -> tuple[Relation, ...]:
    """The relations of a file, or our own: groups, each a list of {name, who}. Raises ConfigError, which names the entry."""
    file: Any = Path(path) if path is not None else resources.files("personahub") / "relations.yaml"
    where = f"persona_to_persona.relations_file {file}"
    try:
        groups = strict_yaml.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{where} can not be read: {error}") from None
    found: dict[str, Relation] = {}
    for group, entries in groups.items() if isinstance(groups, dict) else ():
        for entry in entries if isinstance(entries, list) else [entries]:
            if (
                not isinstance(entry, dict)
                or entry.keys() != {"name", "who"}
                or not all(isinstance(v, str) for v in entry.values())
            ):
                raise ConfigError(f"{where}: {group}: {entry!r} is not of the form {{name: ..., who: ...}}")
            relation = Relation(entry["name"].strip().lower(), entry["who"].strip())
            if not relation.name or not relation.who or relation.name in found:
                raise ConfigError(f"{where}: {group}: {entry['name']!r} is empty or stands twice")
            if relation.name in OF_TEXTS:
                raise ConfigError(f"{where}: {group}: {entry['name']!r} is a relation to a text: choose another name")
            found[relation.name] = relation
    if not found:
        raise ConfigError(f"{where} holds no relations: it needs groups, each a list of {{name: ..., who: ...}}")
    return tuple(found.values())


def relations_of(persona_id: str, relations: Iterable[Relation], count: int, asked: Iterable[str] = ()) -> list[Relation]:
    """The first `count` relations of a persona, in its own order, without those it was asked for before.

    A relation that is added to the file takes its place in the order and moves no other past another.
    """
    ranked = sorted(relations, key=lambda relation: ids.content_id(f"{persona_id}/{relation.name}"))
    asked_before = set(asked)
    return [relation for relation in ranked[:count] if relation.name not in asked_before]


def build(frontier: DataFrame, config: Config) -> DataFrame:
    """Rows (persona_id, persona, asked: array of relations' names, or null) -> REQUESTS: at most one row a persona.

    The variables hold the persona, the relations with their meaning, and how many children each may have; sample_index is the number of
    relations that were asked for before.
    """
    settings, relations = config.persona_to_persona, load_relations(config.persona_to_persona.relations_file)
    completion_id = prompts.load(PROMPT).completion_ids(config.models[settings.model])

    def requests(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        asked = row["asked"] or []
        chosen = relations_of(row["persona_id"], relations, settings.relations_per_request, asked)
        if not chosen:
            return
        variables = {
            "persona": row["persona"],
            "relations": [{"name": relation.name, "who": relation.who} for relation in chosen],
            "children_per_relation": settings.personas_per_relation,
        }
        yield request_row(NAME, row["persona_id"], len(asked), PROMPT, completion_id, variables)

    return map_rows(frontier.select("persona_id", "persona", "asked"), requests, schemas.REQUESTS)


def rebuilt(requests: DataFrame, config: Config) -> DataFrame:
    """REQUESTS -> REQUESTS with the completion_ids of the model and the prompt that are asked now."""
    completion_id = prompts.load(PROMPT).completion_ids(config.models[config.persona_to_persona.model])

    def one(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        yield {**row, "completion_id": completion_id(row["variables"], row["sample_index"])}

    return map_rows(requests.select(*schemas.REQUESTS.names), one, schemas.REQUESTS)


def parse(requests: DataFrame, completions: DataFrame, config: Config, hop: int) -> DataFrame:
    """REQUESTS and COMPLETIONS, joined on completion_id (final rows only) -> PARSED: a row per persona, of this hop, or reject.

    Every (source, final completion) gives at least one row. Evaluate the result once: each evaluation parses again.
    """
    final = completions.where(F.col("final")).select("completion_id", "text", "error_kind", "error_message")
    asked = requests.select("source_id", "completion_id", "variables")
    persona_filters, prompt = config.personas.filters, prompts.load(PROMPT)

    def items(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        of = orjson.loads(row["variables"])
        names = [relation["name"] for relation in of["relations"]]
        answer = row["text"], row["error_kind"], row["error_message"]
        shown = Shown(of["persona"], prompt.own_words(of))
        for item in parse_answer(*answer, names, shown, persona_filters, prompt.schema):
            yield row_of(NAME, row["source_id"], row["completion_id"], _another_person(item, of["persona"]), hop)

    return map_rows(asked.join(final, on="completion_id", how="inner"), items, PARSED)


def refuse_ancestors(parsed: DataFrame) -> DataFrame:
    """PARSED with a column more, cycle (true, or null) -> PARSED, where those of a cycle are rejects: their parent descends from them."""

    def refused(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        item = Item(
            row["position"], row["relation"], reason="own_ancestor", detail="its parent descends from it", raw=row["persona"]
        )
        yield row_of(row["stage"], row["source_id"], row["completion_id"], item)

    fine = parsed.where(F.col("cycle").isNull()).select(*PARSED.names)
    return fine.unionByName(map_rows(parsed.where("cycle"), refused, PARSED))


def _another_person(item: Item, parent: str) -> Item:
    """repeats_parent: a child that is the parent again. other_language: it is written in another language than the parent.

    Of 2,370 real personas that are long enough for a verdict on their language, 3 get a wrong one.
    """
    persona = item.raw if item.reason == "copied_prompt" else item.persona
    spoken = language(parent)
    if persona is not None and (same := _the_same(persona, parent)):
        reason, detail = "repeats_parent", same
    elif item.persona is not None and None not in (spoken, item.language) and spoken != item.language:
        reason, detail = "other_language", f"{item.language}, and its parent {spoken}"
    else:
        return item
    return replace(item, persona=None, language=None, reason=reason, detail=detail, raw=persona)


def _the_same(persona: str, parent: str) -> str | None:
    """What makes a child its parent: the same words, no word of its own, or its beginning, "the designer" of "a designer who ..."."""
    own, of_parent = tokens(persona), tokens(parent)
    if _jaccard(own, of_parent) >= SAME:
        return "the words of the persona that was asked about"
    known = _common_words()
    if own and own - known <= of_parent:
        return "no word that the persona that was asked about does not have"
    first, its = _head(persona), set(_head(parent)) | known
    if first[:1] == ["the"] and len(first) > 1 and set(first) <= its and set(first) - known:
        return f"the persona that was asked about: {' '.join(first)}"
    return None


@cache
def _common_words() -> frozenset[str]:
    """Words that tell nobody from another: those in which the prompt says what a persona is."""
    return frozenset(words(prompts.load(PROMPT).system))


def _head(persona: str) -> list[str]:
    """The words up to what tells more: "the retired nurse" of "The retired nurse who ..."."""
    return words(_MORE.split(persona, maxsplit=1)[0])


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right) if left or right else 1.0
