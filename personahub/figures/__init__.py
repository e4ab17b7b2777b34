"""Tables -> figures for people: what a hub holds and what it cost, and a few rows to look at. Pure transforms on DataFrames."""

from personahub.figures.duplicate_groups import Group, Member, largest_groups
from personahub.figures.hops import Hop, hops
from personahub.figures.lineage import Below, Lineage, Step, lineage
from personahub.figures.review import Validity
from personahub.figures.runs import Run, Spent, runs, spent
from personahub.figures.samples import ExampleSample, PersonaSample, RefusedSample, Samples, refused, samples
from personahub.figures.status import Ledger, Reject, Status, status

__all__ = [
    "Below",
    "ExampleSample",
    "Group",
    "Hop",
    "Ledger",
    "Lineage",
    "Member",
    "PersonaSample",
    "RefusedSample",
    "Reject",
    "Run",
    "Samples",
    "Spent",
    "Status",
    "Step",
    "Validity",
    "hops",
    "largest_groups",
    "lineage",
    "refused",
    "runs",
    "samples",
    "spent",
    "status",
]
