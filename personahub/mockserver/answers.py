"""The content of the mock server's answers: a simulation made of the prompt's own words, not a model.

Everything is a function of the request's body and a seed. An answer is an instance of the JSON Schema that the request asks for
(`response_format`, or a schema in the prompt between the markers of `personahub.llm.json_answers`), else a short paragraph.
"""

import base64
import math
import random
import re
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from personahub.llm.json_answers import SCHEMA_CLOSE, SCHEMA_OPEN
from personahub.mockserver import fields, solving
from personahub.mockserver.words import ADJECTIVES, COMMON, NAMES, OCCUPATIONS, PURSUITS, SETTINGS
from personahub.mockserver.world import NEW_EACH_TIME, World

_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w’'-]{2,}")
_LORE = 20_000  # characters in which names are looked for
_WORD = re.compile(r"(?<!\w)[^\W\d_]{4,14}(?!\w)")
_BLOCK = re.compile(r"<([A-Za-z][\w-]*)(?:\s[^<>]*)?>(.*?)</\1>|```[^\n]*\n(.*?)```", re.DOTALL)
_RELATION = re.compile(r"^\s*- (\w+): someone who ", re.M)
_CODE_WORD, _RECALL = re.compile(r"code word is (\w+)"), "Answer with these two words and nothing else."  # of llm/probe_window.py
_READ = 2000  # characters of the data that are looked at: enough words, and cheap


def completion(body: dict[str, Any], seed: int, world: World = NEW_EACH_TIME) -> dict[str, Any]:
    """A chat completion. `seed` must already depend on the body. Tokens are characters / 4, rounded up."""
    answer = text(body, seed, world)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    cut = limit is not None and len(answer) > 4 * limit
    if cut:
        answer = answer[: 4 * int(limit or 0)]
    prompt_tokens = math.ceil(sum(len(str(message.get("content") or "")) for message in body["messages"]) / 4)
    completion_tokens = math.ceil(len(answer) / 4)
    return {
        "id": f"chatcmpl-simulated-{seed:016x}",
        "object": "chat.completion",
        "created": 0,
        "model": str(body.get("model", "mock")),
        "system_fingerprint": "simulated",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "length" if cut else "stop"},
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """Unit vectors that depend on the model's name and the text only; 64 dimensions unless asked otherwise.

    The sum of a random vector for each different word: texts with nearly the same words have nearly the same direction. That is all the
    meaning there is in it.
    """
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    dimensions = body.get("dimensions") or 64
    data = []
    for index, item in enumerate(inputs):
        words = sorted(set(re.findall(r"\w+", str(item).lower()))) or [str(item)]
        vector = np.sum([_of_word(f"{body.get('model')}/{word}", dimensions) for word in words], axis=0)
        vector = (vector / np.linalg.norm(vector)).astype("<f4")
        packed = body.get("encoding_format") == "base64"
        value = base64.b64encode(vector).decode() if packed else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = sum(math.ceil(len(str(item)) / 4) for item in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {
        "object": "list",
        "data": data,
        "model": str(body.get("model", "mock")),
        "system_fingerprint": "simulated",
        "usage": usage,
    }


@lru_cache(maxsize=1 << 14)
def _of_word(word: str, dimensions: int) -> np.ndarray:
    rng = random.Random(word)
    return np.array([rng.gauss(0, 1) for _ in range(dimensions)])


def text(body: dict[str, Any], seed: int, world: World = NEW_EACH_TIME) -> str:
    """The whole answer to a chat request, before any cut at `max_tokens`. `seed` must already depend on the body."""
    rng = random.Random(seed)
    messages = body["messages"]
    prompt = _user_text(messages)
    schema = _asked_schema(body, messages)
    writer = _Writer(rng, prompt, world)
    writer.tool = "parameters" in ((schema or {}).get("properties") or {})
    if schema is not None:
        solution = solving.answer_to(schema, writer.blocks, rng)
        return orjson.dumps(solution or writer.build(schema, "", schema)).decode()
    if (body.get("response_format") or {}).get("type") in ("json_object", "json_schema"):
        return orjson.dumps({"simulated": True, "text": writer.sentence()}).decode()
    if prompt.endswith(_RECALL):
        return " ".join(_CODE_WORD.findall("\n".join(str(message.get("content")) for message in messages)))
    return f"{writer.sentence()} {writer.sentence()} (This is a simulated answer from a mock server, not the output of a model.)"


def _user_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content") or ""
            return content if isinstance(content, str) else " ".join(part.get("text") or "" for part in content)
    return ""


def _asked_schema(body: dict[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    asked = body.get("response_format") or {}
    if asked.get("type") == "json_schema":
        return (asked.get("json_schema") or {}).get("schema")
    for message in messages:
        content = message.get("content")
        if isinstance(content, str) and message.get("role") == "system" and SCHEMA_OPEN in content:
            inside = content.rpartition(SCHEMA_OPEN)[2].partition(SCHEMA_CLOSE)[0]
            return _loads(inside)
    return None


@lru_cache(maxsize=64)
def _loads(schema: str) -> dict[str, Any] | None:
    try:
        return orjson.loads(schema)
    except orjson.JSONDecodeError:
        return None


class _Writer:
    """Writes with the words of one prompt. What lies in <tags> or fences is data, the rest is the instruction."""

    def __init__(self, rng: random.Random, prompt: str, world: World) -> None:
        self.rng, self.world = rng, world
        self.blocks = blocks = [match.group(2) or match.group(3) or "" for match in _BLOCK.finditer(prompt)]
        self.instruction = _BLOCK.sub(" ", prompt) if blocks else prompt
        longest = max(blocks, key=len) if blocks else prompt
        self.words = _salient(longest)
        self.tool, self.codes = False, "in Python" in self.instruction
        self.names = _NAME.findall(longest[:_LORE]) or list(NAMES)

    def build(self, schema: Any, name: str, root: dict[str, Any]) -> Any:
        """An instance of `schema`, which is the value of a field called `name`."""
        if not isinstance(schema, dict):
            return self.sentence()
        if "$ref" in schema:
            return self.build(_resolve(schema["$ref"], root), name, root)
        for several in ("anyOf", "oneOf", "allOf"):
            if schema.get(several):
                options = [option for option in schema[several] if option.get("type") != "null"] or schema[several]
                return self.build(options[0], name, root)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.rng.choice(schema["enum"])
        kind = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else "string")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if kind == "object":
            return {field: self.build(inner, field, root) for field, inner in (schema.get("properties") or {}).items()}
        if kind == "array":
            return self._array(schema, name, root)
        if kind in ("integer", "number"):
            return self._number(schema)
        if kind == "boolean":
            return self.rng.random() < 0.5
        return None if kind == "null" else self._string(schema, name)

    def _array(self, schema: dict[str, Any], name: str, root: dict[str, Any]) -> list[Any]:
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 100))
        item = schema.get("items") or {}
        if "$ref" in item:
            item = _resolve(item["$ref"], root)
        choices = {
            field: inner["enum"] for field, inner in (item.get("properties") or {}).items() if len(inner.get("enum") or ()) > 1
        }
        relations = _RELATION.findall(self.instruction)
        if relations and "relation" in (item.get("properties") or {}):
            choices = {"relation": relations}
        if not choices:
            return [self.build(item, name, root) for _ in range(min(most, max(least, 2 if "minItems" not in schema else least)))]
        # one item for each choice that the instruction names, for example each relation it asks about; "exactly 8" asks for more
        field = "relation" if "relation" in choices else next(iter(choices))
        named = [value for value in choices[field] if re.search(rf"\b{re.escape(str(value))}\b", self.instruction)] or choices[
            field
        ]
        asked = re.search(r"\bexactly (\d{1,2})\b", self.instruction)
        count = min(most, max(least, int(asked.group(1)) if asked else len(named)))
        return [self.build(item, name, root) | {field: named[i % len(named)]} for i in range(count)]

    def _number(self, schema: dict[str, Any]) -> int | float:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 100) - ("exclusiveMaximum" in schema))
        value = self.rng.uniform(low, high)
        return int(value) if schema.get("type") == "integer" or value.is_integer() else round(value, 3)

    def _string(self, schema: dict[str, Any], name: str) -> str:
        hint = name.lower()
        if "persona" in hint:
            value = self.persona()
        elif name in fields.WRITTEN:
            value = fields.WRITTEN[name](self)
        elif "problem" in hint or "question" in hint:
            value = self.problem()
        elif "language" in hint:
            value = "en"
        elif hint.endswith("name"):
            value = fields.function(self) if self.tool else self.rng.choice(NAMES)
        else:
            value = self.sentence()
        while len(value) < schema.get("minLength", 0):
            value += " " + self.sentence()
        return value[: schema["maxLength"]] if "maxLength" in schema else value

    def persona(self) -> str:
        known = self.world.persona(self.rng) if self.world.share else None
        if known is not None:
            return known
        who = _with_article(f"{self.rng.choice(ADJECTIVES)} {self.rng.choice(OCCUPATIONS)}")
        return f"{who[0].upper()}{who[1:]} who {self.rng.choice(PURSUITS)} {self._words(2)} {self.rng.choice(SETTINGS)}."

    def problem(self) -> str:
        first, more, days = self.rng.randint(3, 48), self.rng.randint(2, 12), self.rng.randint(3, 9)
        name = self.rng.choice(NAMES)
        return (
            f"{name} plans a project on {self._words(2)}. On the first day {name} finishes {first} pages, and on each later day "
            f"{more} pages more than on the day before. How many pages does {name} finish in the first {days} days?"
        )

    def sentence(self) -> str:
        who = f"{self.rng.choice(NAMES)}, {_with_article(self.rng.choice(OCCUPATIONS))}"
        return f"{who}, {self.rng.choice(PURSUITS)} {self._words(3)}."

    def _words(self, count: int) -> str:
        chosen = self.rng.sample(self.words, min(count, len(self.words)))
        return " and ".join([", ".join(chosen[:-1]), chosen[-1]] if len(chosen) > 1 else chosen)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _salient(text: str) -> list[str]:
    """Up to twelve words: the rarest first, then the longest, then the first."""
    counts = Counter(_WORD.findall(text[:_READ]))
    words = sorted((word for word in counts if word.lower() not in COMMON), key=lambda word: (counts[word], -len(word)))
    return words[:12] or ["everyday matters"]


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found
