"""Files to examples: CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dspex.datasets._errors import DatasetError
from dspex.primitives import Example


class DataLoader:
    """Reads records from files, whole files at a time, in the file's order.

    `fields` picks and orders the columns (all by default); `input_keys` marks the inputs of every example.
    A missing file, a missing column or a line that is not JSON raises `DatasetError` with the file and the line.
    """

    def from_csv(
        self,
        file_path: str | Path,
        fields: Sequence[str] | None = None,
        input_keys: Sequence[str] = (),
        *,
        delimiter: str = ",",
    ) -> list[Example]:
        """A CSV file with a header line, in UTF-8. Every value is a string."""
        path = Path(file_path)
        examples: list[Example] = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file, delimiter=delimiter, strict=True)
                for row in reader:
                    if None in row or None in row.values():
                        raise DatasetError(
                            f"this row does not have the header's {len(reader.fieldnames or ())} columns.",
                            path=str(path),
                            line=reader.line_num,
                        )
                    examples.append(_example(row, fields, input_keys, path, reader.line_num))
        except csv.Error as error:
            raise DatasetError(f"not valid CSV: {error}.", path=str(path), line=reader.line_num) from error
        except (OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error
        return examples

    def from_jsonl(
        self, file_path: str | Path, fields: Sequence[str] | None = None, input_keys: Sequence[str] = ()
    ) -> list[Example]:
        """One JSON object a line, in UTF-8; empty lines are skipped."""
        path = Path(file_path)
        examples: list[Example] = []
        for number, line in enumerate(_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DatasetError(f"not valid JSON: {error}.", path=str(path), line=number) from error
            examples.append(_example(row, fields, input_keys, path, number))
        return examples

    def from_json(
        self, file_path: str | Path, fields: Sequence[str] | None = None, input_keys: Sequence[str] = ()
    ) -> list[Example]:
        """A JSON file that holds a list of objects. A file named `*.jsonl` is read as JSON lines."""
        path = Path(file_path)
        if path.suffix == ".jsonl":
            return self.from_jsonl(path, fields, input_keys)
        try:
            rows = json.loads(_text(path))
        except ValueError as error:
            raise DatasetError(f"not valid JSON: {error}.", path=str(path)) from error
        if not isinstance(rows, list):
            raise DatasetError("must hold a list of objects.", path=str(path))
        return [_example(row, fields, input_keys, path, None) for row in rows]

    def from_rows(
        self,
        rows: Iterable[Mapping[str, Any]],
        fields: Sequence[str] | None = None,
        input_keys: Sequence[str] = (),
    ) -> list[Example]:
        """Records that are already in memory: dictionaries, or the rows of a database cursor that are mappings."""
        return [_example(row, fields, input_keys, None, number) for number, row in enumerate(rows, start=1)]

    def sample(self, dataset: Sequence[Example], n: int, seed: int = 0) -> list[Example]:
        """`n` different records drawn by `seed`."""
        if n > len(dataset):
            raise DatasetError(f"There are {len(dataset)} rows, fewer than the {n} asked for.")
        return random.Random(f"dspex.datasets.sample:{seed}").sample(list(dataset), n)

    def train_test_split(
        self,
        dataset: Sequence[Example],
        train_size: int | float = 0.75,
        test_size: int | float | None = None,
        random_state: int | None = None,
    ) -> dict[str, list[Example]]:
        """DSPy's form of `split`: `{"train": [...], "test": [...]}`. No `random_state` means seed 0."""
        from dspex.datasets._split import split

        parts = split(dataset, train=train_size, dev=0, test=test_size, seed=random_state or 0)
        return {"train": parts.train, "test": parts.test}


def _example(
    row: Any, fields: Sequence[str] | None, input_keys: Sequence[str], path: Path | None, line: int | None
) -> Example:
    place = str(path) if path is not None else None
    if not isinstance(row, Mapping):
        raise DatasetError(f"a record must be an object, not {type(row).__name__}.", path=place, line=line)
    missing = [name for name in (*(fields or ()), *input_keys) if name not in row]
    if missing:
        raise DatasetError(
            f"there is no column {missing[0]!r}; there is {', '.join(map(repr, row))}.", path=place, line=line
        )
    example = Example({name: row[name] for name in (fields or row)})
    return example.with_inputs(*input_keys) if input_keys else example


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> DatasetError:
    reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    return DatasetError(f"cannot be read: {reason}.", path=str(path))
