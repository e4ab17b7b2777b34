"""A filter lets pass what it was built of, and few others."""

import numpy as np
import pytest

from personahub.dedup.kernels.bloom_filter import build, passes


@pytest.mark.parametrize("count", [0, 1, 3, 1000, 200_000])
@pytest.mark.parametrize("last_bit", [0, 1])
def test_its_own_keys_pass_and_few_others(count, last_bit):
    draw = np.random.default_rng(count)
    mine, others = (draw.integers(0, 2**64, size, np.uint64) & ~np.uint64(1) | np.uint64(last_bit) for size in (count, 100_000))
    made = build(mine)
    assert len(made) & (len(made) - 1) == 0
    assert passes(made, mine).all()
    assert passes(made, others).mean() < 0.005
