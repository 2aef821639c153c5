"""The state of modules (demos, instructions, LM) by version, so that a restarted actor has it as it last was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from dspex.store._codec import decode, identifier, redact_lm
from dspex.store._database import Database
from dspex.store._errors import StoreValueError
from dspex.store._records import Parameters, SaveParameters
from dspex.store._schema import parameters

_columns = parameters.c


class ParameterStates:
    """The parameters of a store by module path, `rag/generate`. Durable when `save` returns."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def save(self, path: str, state: Any) -> Parameters:
        """Write `state` as the next version. A state equal to the last one's adds none. What stands under `lm` loses
        its secrets."""
        row = self.encode(SaveParameters(path, state))
        return self._db.write(lambda connection: self.write(connection, [row])[0])

    def load(self, path: str, version: int | None = None) -> Parameters | None:
        """One version, the newest by default; None when there is none."""
        query = select(parameters).where(_columns.path == path)
        if version is not None:
            query = query.where(_columns.version == version)
        query = query.order_by(_columns.version.desc()).limit(1)
        row = self._db.read(lambda c: c.execute(query).first())
        return None if row is None else _parameters(row)

    def load_tree(self, root: str) -> dict[str, Parameters]:
        """The newest states of `root` and of everything below it (`root/...`), by path."""
        newest = select(_columns.path, func.max(_columns.version).label("version")).group_by(_columns.path)
        below = newest.where((_columns.path == root) | _columns.path.startswith(root + "/", autoescape=True)).subquery()
        query = select(parameters).join(below, (below.c.path == _columns.path) & (below.c.version == _columns.version))
        rows = self._db.read(lambda c: c.execute(query.order_by(_columns.path)).all())
        return {row.path: _parameters(row) for row in rows}

    def versions(self, path: str) -> list[tuple[int, float]]:
        """Version and time of each state of `path`, the oldest first."""
        query = select(_columns.version, _columns.created).where(_columns.path == path).order_by(_columns.version)
        return [(row.version, row.created) for row in self._db.read(lambda c: c.execute(query).all())]

    def forget(self, path: str, *, keep: int) -> int:
        """Remove all but the newest `keep` versions; returns how many went."""
        if keep < 1:
            raise StoreValueError("keep at least 1 version")

        def work(connection: Connection) -> int:
            newest = select(func.max(_columns.version)).where(_columns.path == path).scalar_subquery()
            gone = delete(parameters).where(_columns.path == path, _columns.version <= newest - keep)
            return connection.execute(gone).rowcount

        return self._db.write(work)

    # -- for the writer --------------------------------------------------------------------------------

    def encode(self, save: SaveParameters) -> dict[str, Any]:
        return {
            "path": identifier(save.path, "module path"),
            "state": self._db.codec.encode(redact_lm(save.state), f"the state of {save.path!r}"),
            "created": self._db.clock(),
        }

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> list[Parameters]:
        written = []
        for row in rows:
            self._lock(connection, row["path"])
            query = select(parameters).where(_columns.path == row["path"]).order_by(_columns.version.desc()).limit(1)
            last = connection.execute(query).first()
            if last is not None and last.state == row["state"]:
                written.append(_parameters(last))
                continue
            values = {**row, "version": 1 if last is None else last.version + 1}
            connection.execute(parameters.insert(), values)
            written.append(Parameters(row["path"], values["version"], decode(row["state"]), row["created"]))
        return written

    def _lock(self, connection: Connection, path: str) -> None:
        if not self._db.sqlite:  # SQLite's writers take turns anyway; here two might choose the same version
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(path, 0x64737078))))


def _parameters(row: Row[Any]) -> Parameters:
    return Parameters(row.path, row.version, decode(row.state), row.created)
