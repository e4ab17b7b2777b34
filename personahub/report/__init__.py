"""Tables -> figures for people: what a hub holds and what it cost, and a few rows to look at. Pure transforms on DataFrames."""

from personahub.report.groups import Group, Member, largest_groups
from personahub.report.history import Run, Spent, runs, spent
from personahub.report.hops import Hop, hops
from personahub.report.lineage import Below, Lineage, Step, lineage
from personahub.report.review import Validity
from personahub.report.samples import ExampleSample, PersonaSample, Samples, samples
from personahub.report.status import Ledger, Reject, Status, status

__all__ = [
    "Below",
    "ExampleSample",
    "Group",
    "Hop",
    "Ledger",
    "Lineage",
    "Member",
    "PersonaSample",
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
    "runs",
    "samples",
    "spent",
    "status",
]
