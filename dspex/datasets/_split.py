"""Splitting records: the same rows, seed and sizes give the same parts, on every machine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from dspex.datasets._errors import DatasetError
from dspex.primitives import Example


class Split(NamedTuple):
    """Three disjoint parts. Choose on `train` and `dev`; report on `test`, once."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]


def split(
    rows: Sequence[Example],
    *,
    train: int | float = 0.5,
    dev: int | float = 0.25,
    test: int | float | None = None,
    seed: int = 0,
) -> Split:
    """Shuffle by `seed` and cut into train, dev and test.

    A size is a number of rows (an int) or a share of all (a float up to 1.0); `test=None` takes what is left.
    `test` is cut first and `dev` second, so a larger training set never moves a row into the test part that a
    smaller one had trained on. Raises `DatasetError` when more rows are asked for than there are.
    """
    order = list(rows)
    random.Random(f"dspex.datasets.split:{seed}").shuffle(order)
    total = len(order)
    sizes = [_count(size, total, name) for size, name in ((train, "train"), (dev, "dev"))]
    n_train, n_dev = sizes
    n_test = total - n_train - n_dev if test is None else _count(test, total, "test")
    if n_train + n_dev + max(n_test, 0) > total:
        raise DatasetError(
            f"There are {total} rows, and train={n_train}, dev={n_dev}, test={max(n_test, 0)} asks for more. "
            "Ask for fewer."
        )
    return Split(
        test=order[:n_test],
        dev=order[n_test : n_test + n_dev],
        train=order[n_test + n_dev : n_test + n_dev + n_train],
    )


def _count(size: int | float, total: int, name: str) -> int:
    if size < 0 or (isinstance(size, float) and size > 1.0):
        raise DatasetError(f"{name}={size!r} is neither a number of rows nor a share between 0.0 and 1.0.")
    return int(size * total + 1e-9) if isinstance(size, float) else size
