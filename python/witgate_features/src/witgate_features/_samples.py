"""Rows with the scores that a library gave them, for `witgate model verify` and for the gateway itself."""

import csv
import io

#: Bytes of samples that a model may carry; the gateway refuses more.
CARRIED_LIMIT = 4 << 20


class SamplesError(ValueError):
    """Rows and scores that do not go together."""


def write_samples(path, rows, scores, names=None, output=""):
    """Writes a file for `witgate model verify MODEL --samples FILE`.

    `rows`: as many as there are scores, each the values that go into the model: numbers, or texts. An array or a DataFrame
    will do. `scores`: what the library gave, one for each row. `names`: of the columns; those of a DataFrame without it.
    `output`: what came out, as `output` of a stage names it (`probabilities[1]`); without it, the number that is the score
    without `output`. For several numbers of a row, `scores` is a mapping from such names to scores.
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(_csv(rows, scores, names, output))


def attach_samples(path, rows, scores, names=None, output="", tolerance=1e-6):
    """Puts samples into an ONNX file, as its metadata.

    Wherever the gateway loads the file, at a start or a reload, it refuses the model if one score differs by more than
    `tolerance`: absolute for scores between -1 and 1, in proportion to the score beyond. Some hundred rows tell enough.
    The other arguments are those of `write_samples`.
    """
    text = _csv(rows, scores, names, output)
    if len(text.encode()) > CARRIED_LIMIT:
        raise SamplesError(f"a model can carry {CARRIED_LIMIT} bytes of samples, got {len(text.encode())}: take fewer rows")
    if not 0 <= tolerance < float("inf"):
        raise SamplesError(f"expected a tolerance from 0 on, got {tolerance}")
    # What is written behind a message of protocol buffers belongs to it, and the last value of a key counts.
    entries = _entry("witgate.samples", text) + _entry("witgate.tolerance", repr(float(tolerance)))
    with open(path, "ab") as file:
        file.write(entries)


def _csv(rows, scores, names, output):
    if names is None:
        names = getattr(rows, "columns", None)
    rows = rows.values.tolist() if hasattr(rows, "values") and not isinstance(rows, dict) else [list(row) for row in rows]
    scores = scores if isinstance(scores, dict) else {output: scores}
    columns = {f"={name}": list(values) for name, values in scores.items()}
    width = len(rows[0]) if rows else 0
    names = [f"x{index}" for index in range(width)] if names is None else [str(name) for name in names]
    if not rows or not columns:
        raise SamplesError("expected at least one row and a score for it")
    if any(len(row) != len(names) for row in rows):
        raise SamplesError(f"expected {len(names)} values in each row, as there are names")
    for name, values in columns.items():
        if len(values) != len(rows):
            raise SamplesError(f"expected {len(rows)} scores, one for each row, got {len(values)} (`{name}`)")
    if any(name.startswith("=") for name in names):
        raise SamplesError("a name that begins with `=` stands for what comes out")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names + list(columns))
    for index, row in enumerate(rows):
        writer.writerow([_cell(value) for value in row] + [_cell(values[index]) for values in columns.values()])
    return text.getvalue()


def _cell(value):
    """A text as it is, a number with all its digits."""
    return value if isinstance(value, str) else repr(float(value))


def _entry(key, value):
    """A field `metadata_props` of ONNX's `ModelProto`."""
    pair = _bytes(1, key.encode()) + _bytes(2, value.encode())
    return _bytes(14, pair)


def _bytes(number, value):
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number):
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
