"""Texts as sets of 64-bit token hashes, in compressed rows."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenSets:
    """Set i is values[offsets[i]:offsets[i + 1]], ascending and without repeats. offsets int64 (n + 1), values uint64."""

    offsets: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.offsets)
