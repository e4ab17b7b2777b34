"""`verification`: who solves the problems, and when their answers count (paper, section 4.1: solvers that agree)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from personahub.config.values import Settings, Share


class Solver(Settings):
    model: str
    method: Literal["direct", "program"] = "direct"


class Verification(Settings):
    of: Literal["test", "all"] = "test"
    test_share: Share = 0.02
    solvers: tuple[Solver, ...] = ()
    min_agree: Annotated[int, Field(ge=2, le=9)] = 2
    judge: str | None = None
    sandbox: Literal["auto", "limits_only"] = "auto"

    @model_validator(mode="after")
    def _enough_solvers(self) -> "Verification":
        if self.solvers and len(self.solvers) < self.min_agree:
            raise ValueError(
                f"{len(self.solvers)} solvers can not agree {self.min_agree} times: name more solvers, or lower min_agree"
            )
        if len({(solver.model, solver.method) for solver in self.solvers}) < len(self.solvers):
            raise ValueError("two solvers are the same model with the same method: their agreement proves nothing")
        return self
