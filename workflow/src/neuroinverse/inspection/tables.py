"""Tables and arrays: .csv, .tsv, .parquet, .npy. Read in blocks."""

import csv
import itertools
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.inspection.ranges import BLOCK, Ranges, short

CURE = "Remove it and make it again"
# columns that are listed
COLUMNS = 40
# kind of a table by columns that it has; the first that fits
KINDS = (
    (("epoch", "loss", "val_loss"), "the history of a training, a line for each epoch"),
    (("s", "h:m:s", "max_rss"), "time and memory that a job took (benchmark of Snakemake; s, MB)"),
    (("trace", "parameter", "sd_over_prior_sd"), "summaries of posteriors (posterior --summary)"),
    (("trace", "parameter", "value", "low", "high"), "parameters of traces (predict)"),
    (("design", "repeats"), "the best networks of a search, trained again"),
    (("rank", "trial", "mse_unit"), "the table of a search over networks"),
    (("gain_nats",), "draws from a posterior, a row for each"),
    (("index", "out_of_range", "score"), "an estimator's predictions of its test set, a row for each simulation"),
)


def _kind(columns: list[str], other: str) -> str:
    return next((words for names, words in KINDS if all(n in columns for n in names)), other)


def describe_parquet(path: Path) -> tuple[str, list[str]]:
    """Kind, rows, and the ranges of the columns of a parquet file.

    Raises:
        NeuroinverseError: If it is none, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = [field for field in file.schema_arrow if not field.name.startswith("__index_level")]
            ranges = {f.name: Ranges() for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)}
            for batch in file.iter_batches(batch_size=max(1, BLOCK // max(1, len(schema)))):
                for name, seen in ranges.items():
                    seen.add(batch.column(name).to_numpy(zero_copy_only=False))
            rows = file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())
        raise NeuroinverseError(f"{path}: is no parquet file, or was cut off: {why}. {CURE}") from error
    columns = [f.name for f in schema]
    lines = [f"  {rows} rows, {len(columns)} columns"]
    inferred = [c.removesuffix("_true") for c in columns if c.endswith("_true")]
    if inferred:
        folds = sum(c.startswith(f"{inferred[0]}_fold") for c in columns)
        lines.append(
            f"  parameters {short(inferred)}; for each its true value, the answers of {folds} folds, mean, sd, error"
        )
        # the answers of the folds are many and much alike
        columns = [c for c in columns if not any(c.startswith(f"{p}_fold") for p in inferred)]
    lines += _columns({c: str(ranges[c]) if c in ranges else "text or other" for c in columns})
    return _kind([f.name for f in schema], "a parquet table"), lines


def _columns(words: dict[str, str]) -> list[str]:
    lines = [f"    {name}: {said}" for name, said in itertools.islice(words.items(), COLUMNS)]
    return lines + ([f"    and {len(words) - COLUMNS} more columns"] if len(words) > COLUMNS else [])


def describe_text(path: Path) -> tuple[str, list[str]]:
    """Kind, rows, and the ranges of the columns of a table in a text file.

    Raises:
        NeuroinverseError: If it is no text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = [line for line in itertools.islice(file, 20) if not line.startswith("#") and line.strip()]
            delimiter = max("\t;,", key=lambda d: min((line.count(d) for line in head), default=0))
            file.seek(0)
            lines = (line for line in file if not line.startswith("#") and line.strip())
            return _table(csv.reader(lines, delimiter=delimiter))
    except UnicodeDecodeError as error:
        raise NeuroinverseError(
            f"{path}: byte {error.start} is no UTF-8: it is no text, or has another encoding. Save it as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise NeuroinverseError(f"{path}: cannot be read as a table: {error}") from error


def _table(rows) -> tuple[str, list[str]]:
    first = next(rows, [])
    numbers = bool(first) and all(_number(cell) is not None for cell in first)
    names = [f"column {i + 1}" for i in range(len(first))] if numbers else [c.strip() or "(no name)" for c in first]
    # two columns of one name are two columns
    seen, texts, odd, n = [Ranges() for _ in names], [0] * len(names), 0, 0
    rows = itertools.chain([first], rows) if numbers else rows
    while block := list(itertools.islice(rows, max(1, BLOCK // 64 // max(1, len(names))))):
        n += len(block)
        odd += sum(len(row) != len(names) for row in block)
        for i in range(len(names)):
            cells = [row[i] for row in block if i < len(row)]
            values = [_number(c) for c in cells]
            seen[i].add(np.array([np.nan if v is None else v for v in values], np.float64))
            texts[i] += sum(v is None for v in values)
    words = []
    for name, ranges, text in zip(names, seen, texts, strict=True):
        words.append(f"    {name}: " + ("text" if text and text == ranges.n else str(ranges)))
    kind = _kind(names, "a table of numbers without names" if numbers else "a table")
    lines = [f"  {n} rows, {len(names)} columns", *words[:COLUMNS]]
    lines += [f"    and {len(words) - COLUMNS} more columns"] if len(words) > COLUMNS else []
    if odd:
        lines.append(f"  {odd} rows have more or fewer cells than there are columns: decimal commas, or a cut end?")
    if kind.startswith("a table"):
        lines.append("  as a recording it is read by predict, which says what it takes for time and traces")
    return kind, lines


def _number(cell: str) -> float | None:
    cell = cell.strip()
    if not cell:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        return None


def describe_npy(path: Path) -> tuple[str, list[str]]:
    """Shape, type and range of an array.

    Raises:
        NeuroinverseError: If it is none, or cut off.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        why = " ".join(str(error).split())
        raise NeuroinverseError(f"{path}: is no NumPy array of numbers, or was cut off: {why}. {CURE}") from error
    shape = " × ".join(map(str, array.shape)) or "one value"
    lines = []
    if array.dtype.kind in "iufb" and array.ndim:
        ranges, flat = Ranges(), array.reshape(-1) if array.flags.c_contiguous else array.T.reshape(-1)
        for start in range(0, flat.size, BLOCK):
            ranges.add(flat[start : start + BLOCK])
        lines = [f"  {ranges}"]
    if array.ndim in (1, 2, 3):
        traces = {
            1: "one trace",
            2: f"{array.shape[0]} traces",
            3: f"{array.shape[0]} traces of {array.shape[-1]} channels",
        }
        lines.append(f"  as a recording: {traces[array.ndim]} of {array.shape[0 if array.ndim == 1 else 1]} samples")
    return f"a NumPy array, {shape} {array.dtype}", lines
