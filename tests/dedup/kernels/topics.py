"""Vectors about some directions, as personas are about some topics."""

import numpy as np


def topics(count, dimension, seed, topics=12, spread=0.7):
    """float32 rows about some directions, of lengths from 0.5 to 1, as `vectors.from_arrow` leaves them."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((topics, dimension))
    rows = centres[draw.integers(0, topics, count)] + spread * draw.standard_normal((count, dimension))
    rows *= draw.uniform(0.5, 1, (count, 1)) / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def unit(rows):
    wide = rows.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
