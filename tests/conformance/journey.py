"""What every engine does with the same fixtures: `python journey.py KEY=VALUE ...`, or under spark-submit, or a part of it: STAGE,STAGE.

From documents to hop 2 with both methods of dedup, all tasks; one document is forgotten and purged; all stages once more.
"""

import sys

from personahub import pipeline
from personahub.config import load

STAGES = [argument for argument in sys.argv[1:] if "=" not in argument]
CONFIG = load(overrides=[argument for argument in sys.argv[1:] if "=" in argument])

with pipeline.open_hub(CONFIG, spend=True) as hub:
    for stages in STAGES:
        list(pipeline.run(hub, stages.split(",")))
    if not STAGES:
        list(pipeline.run(hub, tuple(pipeline.STAGES)))
        document = hub.store.table("documents").orderBy("document_id").first().document_id
        pipeline.forget(hub, [document], purge=True)
        list(pipeline.run(hub, tuple(pipeline.STAGES)))
    pipeline.status(hub)
