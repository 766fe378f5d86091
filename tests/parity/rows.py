"""Rows that find what ordinary ones do not: thresholds hit exactly and missed by the least, no number, infinities, tiny ones."""

import numpy as np

UNIX_TIME = 1_764_547_200
# What a cell of a hostile row may be, beside thresholds.
ODD = [
    np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-30, 1e-40, 1e-45, 1e-35, 1.0000001e-35, 1e6, 1e30, -1e30,
    3.4e38, -3.4e38, UNIX_TIME, UNIX_TIME + 64, 2.0**24 + 2, 2.0**31, 2.0**53, 3.0, 4.7, -0.3, 1000.0,
]  # fmt: skip
WORDS = (
    "get post admin login php index select union script alert foo bar the of and a b 1 2 300 Straße GRÖSSE Ünï naïve x-y under_score "
    "http example.com /wp-login.php q=1&r=2 ' \" < > ı İ ß ﬁ 你好 мир 😀 é É don't"
).split(" ")
SPACES = [" ", " ", " ", " ", "  ", "\t", "/", ".", "-"]


def thresholds(model):
    """Of each column of a graph whose trees look at its input as it is: what its nodes compare with."""
    found = {}
    for node in model.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_values" not in attributes:
            continue
        for column, value in zip(attributes["nodes_featureids"].ints, attributes["nodes_values"].floats):
            found.setdefault(column, set()).add(np.float32(value))
    return found


def hostile(trained, borders, count, seed=11):
    """Rows of the width and type of `trained`: half of them as those, of the others a cell in four is odd.

    `borders`: of a column, numbers to hit."""
    random = np.random.default_rng(seed)
    width, dtype = trained.shape[1], trained.dtype
    rows = np.stack([trained[random.integers(len(trained), size=count), column] for column in range(width)], 1)
    wide = rows[: count // 2]
    wide += (random.normal(size=wide.shape) * np.nanstd(trained, axis=0) * 0.1).astype(dtype)
    for column in range(width):
        odd = np.array(ODD, dtype)
        hits = np.array(sorted(borders.get(column, [0.0])), dtype)
        around = np.concatenate([hits, np.nextafter(hits, dtype.type(np.inf)), np.nextafter(hits, dtype.type(-np.inf)), hits])
        picked = np.where(random.random(count) < 0.5, random.choice(odd, count), random.choice(around, count))
        is_odd = random.random(count) < 0.25
        is_odd[: count // 2] = False
        rows[is_odd, column] = picked[is_odd]
    return rows


def texts(count, seed=11):
    """Texts of words, some in capitals, some of other alphabets, some empty."""
    random = np.random.default_rng(seed)

    def text():
        words = random.choice(WORDS, random.integers(0, 9))
        made = "".join(word + SPACES[random.integers(len(SPACES))] for word in words)
        return made.upper() if random.random() < 0.1 else made

    return np.array([text() for _ in range(count)], dtype=object)
