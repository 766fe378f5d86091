"""A model of trees as LightGBM writes them, made up: it takes as long as one that was trained, and says nothing."""

import random

SEED = 20_261_201
# The features that it looks at are logarithms and shares, mostly.
LARGEST = 2.0


def write(path, columns, trees, leaves=31):
    """Trees grow as LightGBM's do, by the leaf, each split at a column and a threshold by chance."""
    dice = random.Random(SEED)
    parts = [tree(dice, at, columns, leaves) for at in range(trees)]
    names = [f"Column_{at}" for at in range(columns)]
    head = {
        **{"version": "v4", "num_class": 1, "num_tree_per_iteration": 1, "label_index": 0},
        **{"max_feature_idx": columns - 1, "objective": "binary sigmoid:1", "feature_names": " ".join(names)},
        **{"feature_infos": " ".join([f"[0:{LARGEST}]"] * columns)},
        "tree_sizes": " ".join(str(len(part)) for part in parts),
    }
    lines = ["tree", *(f"{key}={value}" for key, value in head.items()), "", ""]
    path.write_text("\n".join(lines) + "".join(parts) + "end of trees\n")
    return path


def tree(dice, number, columns, leaves):
    left, right = [], []
    # Where each leaf hangs: a list of children, and its place there.
    hangs = [None]
    for node in range(leaves - 1):
        leaf = dice.randrange(len(hangs))
        if hangs[leaf]:
            children, at = hangs[leaf]
            children[at] = node
        # The leaf stays on the left, as ~leaf; a new one is on the right.
        left.append(~leaf)
        right.append(~len(hangs))
        hangs[leaf] = (left, node)
        hangs.append((right, node))
    nodes = range(leaves - 1)
    keys = {
        **{"num_leaves": leaves, "num_cat": 0},
        "split_feature": [dice.randrange(columns) for _ in nodes],
        "threshold": [round(dice.uniform(0, LARGEST), 9) for _ in nodes],
        # Missing values are none, and go to the left.
        "decision_type": [2 for _ in nodes],
        **{"left_child": left, "right_child": right},
        "leaf_value": [round(dice.gauss(0, 0.01), 9) for _ in range(leaves)],
        **{"is_linear": 0, "shrinkage": 0.03},
    }
    texts = {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in keys.items()}
    return "\n".join([f"Tree={number}", *(f"{key}={value}" for key, value in texts.items()), "", "", ""])
