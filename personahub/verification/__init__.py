"""Are two answers the same? Layers of rules, each sure of what it says, then symbols; what none can tell is for a judge."""

from personahub.verification.equivalence import Equivalence, equivalent

__all__ = ["Equivalence", "equivalent"]
