"""personahub: web text -> personas -> a deduplicated hub -> synthetic data, on PySpark and Delta Lake (arXiv 2406.20094).

import personahub as ph

hub = ph.open("hub", "mine.yaml")
hub.run("text-to-persona")
hub.personas().show()
hub.status()

ph.deduplicate(frame, "persona").kept
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personahub.api import HubHandle as HubHandle
    from personahub.api import deduplicate as deduplicate
    from personahub.api import open as open

__version__ = "0.1.0"
__all__ = ["HubHandle", "deduplicate", "open"]


def __getattr__(name: str) -> Any:
    """The public functions, imported when they are first used: `personahub --help` needs no Spark."""
    if name in __all__:
        from personahub import api

        return getattr(api, name)
    raise AttributeError(f"module 'personahub' has no attribute {name!r}")
