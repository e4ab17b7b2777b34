"""What is simulated: the settings of the mock server."""

from dataclasses import dataclass

from personahub.mockserver.batches import ENDS
from personahub.mockserver.faults import FAULTS, RARE_FAULTS
from personahub.mockserver.profiles import PROFILES


@dataclass(frozen=True)
class Settings:
    """What is simulated. Times in seconds; a fault in `faults` strikes `fault_rate` of all attempts, each kind equally often.

    `slow` sends its headers at once and then lets the body drip for ten times the latency, at least `slow_seconds`.
    `response_formats`: all; json_object and none answer 400 to what they lack; ignore accepts all and honours none.
    `like`: a name of `profiles.PROFILES`, whose manner the server has; `odd_rate` is the share of its answers that some of them spoil.
    """

    port: int = 8000  # 0: any free one
    capacity: int = 64  # requests that are worked on at once
    overflow: str = "queue"  # above it: wait in line, or 429
    median: float = 0.4
    sigma: float = 0.9  # of the logarithm of the latency
    fault_rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    rpm: int | None = None  # requests admitted in any 60 s; above it 429
    seed: int = 0
    duplicates: float = 0.0  # share of the personas in answers that are one of the few that come again and again (world.py)
    key: str | None = None  # expected after "Authorization: Bearer"
    response_formats: str = "all"
    slow_seconds: float = 1.0
    like: str | None = None
    odd_rate: float = 0.02
    batch_seconds: float = 0.1  # from the making of a batch to its end
    batch_ends: tuple[str, ...] = ()  # how the first batches end (batches.py); all others complete

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS) - set(RARE_FAULTS)
        if unknown:
            raise ValueError(f"unknown fault {', '.join(sorted(unknown))}; known: {', '.join(FAULTS + RARE_FAULTS)}")
        if unknown := set(self.batch_ends) - set(ENDS):
            raise ValueError(f"unknown end of a batch {', '.join(sorted(unknown))}; known: {', '.join(ENDS)}")
        if self.like is not None and self.like not in PROFILES:
            raise ValueError(f"like is one of {', '.join(PROFILES)}, not {self.like!r}")
        if self.overflow not in ("queue", "429"):
            raise ValueError(f"overflow is queue or 429, not {self.overflow!r}")
        if self.response_formats not in ("all", "json_object", "none", "ignore"):
            raise ValueError(f"response_formats is all, json_object, none or ignore, not {self.response_formats!r}")
        if (
            self.capacity < 1
            or self.median < 0
            or self.sigma < 0
            or not all(0 <= rate <= 1 for rate in (self.fault_rate, self.duplicates, self.odd_rate))
        ):
            raise ValueError(
                "capacity is at least 1, the rates and duplicates are within 0..1, median and sigma are not negative"
            )
