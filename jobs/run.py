"""Stages under spark-submit: `spark-submit ... jobs/run.py [STAGE]... -c FILE --set KEY=VALUE`.

The arguments are those of `personahub run`; nobody is there to be asked, so that --yes is implied: `personahub estimate` tells the
price beforehand, and inference.budget_usd holds it. The process ends with the same exit codes.
"""

import sys

from personahub.cli import main

if __name__ == "__main__":
    main(["run", "--yes", *sys.argv[1:]])
