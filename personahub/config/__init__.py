"""Settings: a block of the configuration and its defaults stand in the file of its name, the whole in config.py, files and `key=value`
overrides go on top (loading.py).

`conf/base.yaml` shows every key with its default and a comment; a test holds the two equal. The key of an endpoint is never a
value here, only the name of the environment variable or file that holds it.
"""

from personahub.config.config import Config
from personahub.config.dedup import Dedup, LexicalDedup, SemanticDedup
from personahub.config.documents import Bounds, DocumentFilters, Documents
from personahub.config.loading import at_root, load, load_mapping
from personahub.config.models import Model
from personahub.config.persona_to_persona import PersonaToPersona
from personahub.config.personas import PersonaFilters, Personas
from personahub.config.synthesis import Synthesis
from personahub.config.text_to_persona import Relation, TextToPersona
from personahub.config.values import expanded
from personahub.config.verification import Solver, Verification

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
    "Solver",
    "Synthesis",
    "TextToPersona",
    "Verification",
    "at_root",
    "expanded",
    "load",
    "load_mapping",
]
