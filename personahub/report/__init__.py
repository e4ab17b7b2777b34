"""Tables -> figures for people: what a hub holds and what it cost, and a few rows to look at. Pure transforms on DataFrames."""

from personahub.report.samples import ExampleSample, PersonaSample, Samples, samples
from personahub.report.status import Ledger, Reject, Status, status

__all__ = ["ExampleSample", "Ledger", "PersonaSample", "Reject", "Samples", "Status", "samples", "status"]
