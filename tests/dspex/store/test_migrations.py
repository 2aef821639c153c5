from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from dspex.store import Store, StoreVersionError, store_url
from dspex.store._database import Database
from dspex.store._migrations import MIGRATIONS, Migration
from dspex.store._schema import metadata

SECOND = Migration(2, "second", ("ALTER TABLE dspex_runs ADD COLUMN extra {int}", "CREATE TABLE dspex_more (x {real})"))
BROKEN = Migration(2, "broken", ("ALTER TABLE dspex_runs ADD COLUMN extra {int}", "THIS IS NO SQL"))


def columns(database: Database, table: str) -> dict[str, tuple[str, bool]]:
    found = database.read(lambda c: inspect(c).get_columns(table))
    return {column["name"]: (str(column["type"]), bool(column["nullable"])) for column in found}


def versions(database: Database) -> list[int]:
    query = text("SELECT version FROM dspex_schema ORDER BY version")
    return list(database.read(lambda c: c.execute(query).scalars().all()))


def test_the_migrations_lead_to_the_tables_that_the_code_uses(store: Store) -> None:
    database = store.database
    dialect = database._engine.dialect
    tables = database.read(lambda c: inspect(c).get_table_names())
    assert sorted(tables) == sorted(metadata.tables)
    for table in metadata.sorted_tables:
        kinds = {"DOUBLE": "DOUBLE PRECISION", "DOUBLE_PRECISION": "DOUBLE PRECISION", "REAL": "DOUBLE PRECISION"}
        wanted = {column.name: (column.type.compile(dialect), bool(column.nullable)) for column in table.columns}
        found = columns(database, table.name)
        normalised = [
            {name: (kinds.get(kind, kind), null) for name, (kind, null) in side.items()} for side in (found, wanted)
        ]
        assert normalised[0] == normalised[1]
        key = database.read(lambda c, name=table.name: inspect(c).get_pk_constraint(name))["constrained_columns"]
        assert key == [column.name for column in table.primary_key.columns]
        indexes = database.read(lambda c, name=table.name: inspect(c).get_indexes(name))
        assert {index["name"]: index["column_names"] for index in indexes if not index["unique"]} == {
            index.name: [column.name for column in index.columns] for index in table.indexes
        }


def test_a_store_is_migrated_once_and_keeps_its_rows(url: str) -> None:
    first = Database(store_url(url))
    first.ensure()
    assert versions(first) == [1]
    first.write(lambda c: c.execute(text("INSERT INTO dspex_parameters VALUES ('p', 1, '{}', 0)")))
    first.close()
    second = Database(store_url(url), migrations=(*MIGRATIONS, SECOND))
    assert versions(second) == [1, 2]
    assert "extra" in columns(second, "dspex_runs")
    assert second.read(lambda c: c.execute(text("SELECT count(*) FROM dspex_parameters")).scalar()) == 1
    second.ensure()
    assert versions(second) == [1, 2]
    second.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(url: str) -> None:
    Store.open(url).close()
    broken = Database(store_url(url), migrations=(*MIGRATIONS, BROKEN))
    with pytest.raises(Exception, match="syntax"):
        broken.ensure()
    broken.close()
    with Store.open(url) as store:
        assert versions(store.database) == [1]
        assert "extra" not in columns(store.database, "dspex_runs")


def test_a_store_of_a_newer_dspex_is_refused_with_what_to_do(url: str) -> None:
    newer = Database(store_url(url), migrations=(*MIGRATIONS, SECOND))
    newer.ensure()
    newer.close()
    with pytest.raises(StoreVersionError, match=r"schema version 2, .* up to 1: upgrade dspex") as caught:
        Store.open(url)
    assert (caught.value.found, caught.value.known) == (2, 1)


def test_processes_that_open_a_new_store_at_once_all_succeed(url: str) -> None:
    code = (
        "import sys; from dspex.store import Store, NewRun\n"
        "print('ready', flush=True); input()\n"
        "with Store.open(sys.argv[1]) as store: store.runs.create(NewRun('of-' + sys.argv[2], 'k', 'p'))\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for number in range(4)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:  # all of them are up, and none has opened yet
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
    with Store.open(url) as store:
        assert len(store.runs.list()) == 4
        assert versions(store.database) == [1]
