"""Everything the local Stripe knows, as tables of JSON values; with a file, every change is appended to it and read
at the next start.

The file is a journal of JSON lines `[table, key, value]`, written anew (without the overwritten lines) at each start.
`put` after changing a value in place is what makes the change durable.
"""

import json
import os
from pathlib import Path
from typing import Any, TextIO


class Store:
    """Tables in memory: `table("refund")["re_1"]`. `commit()` writes what changed since the last one."""

    def __init__(self, path: Path | None = None):
        self.tables: dict[str, dict[str, Any]] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._path = path
        self._file: TextIO | None = None
        if path is not None:
            self._load(path)

    def table(self, name: str) -> dict[str, Any]:
        return self.tables.setdefault(name, {})

    def put(self, table: str, key: str, value: Any) -> None:
        self.table(table)[key] = value
        self._changed[(table, key)] = None

    def drop(self, table: str, key: str) -> None:
        self.table(table).pop(key, None)
        self._changed[(table, key)] = None

    def clear(self, table: str) -> None:
        for key in list(self.table(table)):
            self.drop(table, key)

    def commit(self) -> None:
        if self._file is not None and self._changed:
            for table, key in self._changed:
                self._write(self._file, table, key)
            self._file.flush()
        self._changed.clear()

    def close(self) -> None:
        self.commit()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, file: TextIO, table: str, key: str) -> None:
        line = [table, key, self.tables[table][key]] if key in self.table(table) else [table, key]
        file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def _load(self, path: Path) -> None:
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    table, key, *value = json.loads(line)
                except ValueError:
                    break  # the last line of a process that was killed while writing
                if value:
                    self.table(table)[key] = value[0]
                else:
                    self.table(table).pop(key, None)
        fresh = path.with_name(path.name + ".new")
        with fresh.open("w") as file:
            for table, rows in self.tables.items():
                for key in rows:
                    self._write(file, table, key)
        os.replace(fresh, path)
        self._file = path.open("a")
