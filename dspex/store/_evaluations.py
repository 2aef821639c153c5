"""What each example scored under each candidate. A score is final; a failure may be replaced by a later try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, tuple_

from dspex.store._codec import decode, decode_optional, identifier
from dspex.store._database import Database
from dspex.store._errors import StoreValueError
from dspex.store._records import Evaluation
from dspex.store._schema import evaluations

_PAGE = 500


class Evaluations:
    """The evaluation results of all runs of a store. Durable when `record` returns."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, evaluation: Evaluation) -> None:
        """Write one result. One that has a score stays as it is, whatever comes later; one that failed is replaced.
        A result cannot have both a score and a failure (StoreValueError)."""
        self.record_many([evaluation])

    def record_many(self, results: Sequence[Evaluation]) -> None:
        """Write several results in one transaction."""
        rows = [self.encode(result) for result in results]
        self._db.write(lambda connection: self.write(connection, rows))

    def get(self, run_id: str, candidate: str, example: str) -> Evaluation | None:
        """The result, or None."""
        columns = evaluations.c
        query = select(evaluations).where(
            columns.run_id == run_id, columns.candidate == candidate, columns.example == example
        )
        row = self._db.read(lambda c: c.execute(query).first())
        return None if row is None else _evaluation(row)

    def read(self, run_id: str, *, candidate: str | None = None) -> Iterator[Evaluation]:
        """The run's results, ordered by candidate and example, read in pages."""
        position = ("", "")
        key = tuple_(evaluations.c.candidate, evaluations.c.example)
        while True:
            query = select(evaluations).where(evaluations.c.run_id == run_id, key > position)
            if candidate is not None:
                query = query.where(evaluations.c.candidate == candidate)
            query = query.order_by(evaluations.c.candidate, evaluations.c.example).limit(_PAGE)
            page = self._page(query)
            yield from map(_evaluation, page)
            if len(page) < _PAGE:
                return
            position = (page[-1].candidate, page[-1].example)

    def count(self, run_id: str) -> tuple[int, int]:
        """How many results of the run have a score, and how many are failures."""
        query = select(func.count(), func.count(evaluations.c.failure)).where(evaluations.c.run_id == run_id)
        total, failed = self._db.read(lambda c: c.execute(query).one())
        return int(total) - int(failed), int(failed)

    def _page(self, query: Any) -> list[Row[Any]]:
        return list(self._db.read(lambda c: c.execute(query).all()))

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, result: Evaluation) -> dict[str, Any]:
        codec = self._db.codec
        if result.score is not None and result.failure is not None:
            raise StoreValueError("an evaluation has a score or a failure, not both")
        what = f"evaluation of {result.example!r}"
        return {
            "run_id": identifier(result.run_id, "run id"),
            "candidate": identifier(result.candidate, "candidate"),
            "example": identifier(result.example, "example"),
            "score": _score(result.score),
            "prediction": codec.encode(result.prediction, f"the prediction in the {what}"),
            "usage": codec.encode(result.usage, f"the usage in the {what}"),
            "failure": None if result.failure is None else codec.encode(result.failure, f"the failure in the {what}"),
            "created": self._db.clock() if result.created is None else result.created,
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> list[None]:
        insert = self._db.insert(evaluations)
        names = ("score", "prediction", "usage", "failure", "created")
        upsert = insert.on_conflict_do_update(
            index_elements=["run_id", "candidate", "example"],
            set_={name: insert.excluded[name] for name in names},
            where=evaluations.c.failure.is_not(None),
        )
        # PostgreSQL sends rows one statement each here: the same key twice in one statement would be an error.
        connection.execute(upsert, sorted(rows, key=lambda row: (row["run_id"], row["candidate"], row["example"])))
        return [None] * len(rows)


def _score(score: float | None) -> float | None:
    # SQLite has no NaN: it would come back as NULL, so it is NULL everywhere.
    return None if score is None or score != score else float(score)


def _evaluation(row: Row[Any]) -> Evaluation:
    return Evaluation(
        row.run_id,
        row.candidate,
        row.example,
        row.score,
        decode(row.prediction),
        decode(row.usage),
        decode_optional(row.failure),
        row.created,
    )
