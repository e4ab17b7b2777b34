"""Settings: the defaults stand in settings.py, files and `key=value` overrides go on top (loading.py).

`conf/base.yaml` shows every key with its default and a comment; a test holds the two equal. The key of an endpoint is never a
value here, only the name of the environment variable or file that holds it.
"""

from personahub.config.loading import load
from personahub.config.settings import (
    Bounds,
    Config,
    Dedup,
    DocumentFilters,
    Documents,
    LexicalDedup,
    Model,
    PersonaFilters,
    Personas,
    PersonaToPersona,
    Relation,
    SemanticDedup,
    Synthesis,
    TextToPersona,
    expanded,
)

__all__ = [
    "Bounds",
    "Config",
    "Dedup",
    "DocumentFilters",
    "Documents",
    "LexicalDedup",
    "Model",
    "PersonaFilters",
    "PersonaToPersona",
    "Personas",
    "Relation",
    "SemanticDedup",
    "Synthesis",
    "TextToPersona",
    "expanded",
    "load",
]
