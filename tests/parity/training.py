"""What the models are trained on."""

import numpy as np

from rows import UNIX_TIME


def boosted_data(dtype, gaps=True, count=1500):
    """Rows for trees: a share, an amount, a time, a code, a percentage, and a number that is often missing; whether a row is
    bad, which of three kinds it is, and an amount."""
    random = np.random.default_rng(7)
    rows = np.stack(
        [
            random.normal(size=count),
            random.lognormal(5, 2, size=count),
            UNIX_TIME + random.uniform(0, 1e7, size=count),
            random.integers(0, 20, size=count),
            random.integers(0, 101, size=count) / 100,
            random.normal(size=count),
        ],
        1,
    ).astype(dtype)
    hidden = rows[:, 0] + (rows[:, 3] % 3 - 1) + np.sin(rows[:, 5] * 2) + (rows[:, 4] > 0.5) + random.normal(size=count) * 0.3
    if gaps:
        rows[random.random(count) < 0.2, 5] = np.nan
    three = np.digitize(hidden, [-0.3, 0.8])
    return rows, (hidden > 0).astype(int), three, np.maximum(np.round(np.exp(hidden / 2), 1), 0)


def plain_data(dtype=np.float32, count=400, width=4):
    """Rows of numbers around 0, whether they are bad, and which of three kinds they are."""
    random = np.random.default_rng(3)
    rows = random.normal(size=(count, width)).astype(dtype)
    hidden = rows[:, 0] + rows[:, 1] * rows[:, 2] + 0.2 * random.normal(size=count)
    return rows, (hidden > 0).astype(int), np.digitize(hidden, [-0.5, 0.5])
