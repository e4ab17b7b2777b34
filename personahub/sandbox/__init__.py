"""Programs that a model wrote, run behind walls: no network, no file and no process but their own, limits on all else."""

from personahub.sandbox.programs import ProgramResult, run_program

__all__ = ["ProgramResult", "run_program"]
