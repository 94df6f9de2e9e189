"""A PostgreSQL of the tests' own: made in a second or two, gone with the process that made it.

Where its programs or the driver are missing, tests that need it are skipped; where `CI` is set
they fail. `DRIFTLINE_TEST_POSTGRES` names a server that is there already, by the URL of a
database from which others may be created.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage

VARIABLE: Final = "DRIFTLINE_TEST_POSTGRES"
START_S: Final = 60.0
# PostgreSQL refuses to run as root.
USERS: Final = ("postgres", "nobody")
# Nothing outlives the run, so nothing needs to reach the disk.
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "error",
}
# A database is copied in a quarter of the time where files are memory, as they are here on Linux;
# workers need a few hundred megabytes each. Containers often have 64 MB, and are left to the disk.
MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 4 << 30
MEMORY_SETTINGS: Final = {"max_wal_size": "64MB"}
# The server ends with whoever holds its standard input open, even one that is killed: then it
# was not told to, and takes its folder away.
WATCH: Final = (
    '"$@" & server=$!; read -r _; told=$?; kill -INT $server 2>/dev/null; wait $server; '
    '[ $told = 0 ] || rm -rf "$PWD"'
)


def programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`, the newest of several."""
    found = shutil.which("initdb")
    if found is not None and Path(found).resolve().with_name("postgres").exists():
        return Path(found).resolve().parent
    known = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    folders = sorted((path.parent for path in known), key=lambda path: float(path.parent.name))
    return folders[-1] if folders else None


class Server:
    """One server, on a socket in a temporary folder of its own.

    Parameters
    ----------
    bin_folder
        Where its programs are.
    folder
        Where its folder is made; None for the usual place.
    """

    def __init__(self, bin_folder: Path, folder: Path | None = None) -> None:
        self._bin = bin_folder
        self._settings = SETTINGS | (MEMORY_SETTINGS if folder == MEMORY else {})
        # Pytest's own folders are closed to other users, and too long for a socket's name.
        self._folder = Path(tempfile.mkdtemp(prefix="driftline-pg-", dir=folder))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = next(u for u in USERS if _is_known(u))
            entry = pwd.getpwnam(user)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        # Names sort as in a language, as they do in most people's databases.
        locale = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        self._run(
            "initdb", "--username=driftline", "--auth=trust", "--encoding=UTF8", "--no-sync",
            *locale, f"--pgdata={self._folder / 'data'}",
        )  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        """The address of the database that is always there."""
        return f"postgresql+psycopg://driftline@/postgres?host={self._folder}"

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self._bin

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self._folder,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [
            word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")
        ]
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WATCH, "sh", self._bin / "postgres", "-D", self._folder / "data",
             "-k", self._folder, *settings],
            cwd=self._folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            start_new_session=True,  # what ends a whole group would end the watch, too
            stdout=log,
            stderr=log,
            **self._as,
        )  # fmt: skip
        log.close()
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        deadline = time.monotonic() + START_S
        while True:
            try:
                engine.connect().close()
                return
            except sa.exc.OperationalError:
                said = (self._folder / "log").read_text()
                assert self._process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once; every connection is cut."""
        if self._process is not None:
            self._process.communicate(b"stop\n", timeout=START_S)
            self._process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop it and take its files away."""
        self.stop()
        shutil.rmtree(self._folder)


def room_in_memory() -> Path | None:
    """Where files are memory, if there is enough of it; None for the usual place."""
    try:
        free = shutil.disk_usage(MEMORY).free
    except OSError:
        return None
    return MEMORY if free >= MEMORY_BYTES and os.access(MEMORY, os.W_OK) else None


def _is_known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C.UTF-8"}


class Databases:
    """The databases of a run; each is a copy of one that is made once.

    Parameters
    ----------
    server
        The server of this run; None where somebody else's is used.
    url
        The database to create others from.
    """

    def __init__(self, url: str, server: Server | None = None) -> None:
        self.server = server
        self._url = sa.make_url(url)
        self._admin = sa.create_engine(
            self._url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        )
        self._made: list[str] = []
        self._templates: dict[str, str] = {}

    def url_of(self, name: str) -> str:
        """The address of one database."""
        return self._url.set(database=name).render_as_string(hide_password=False)

    def create(self, template: str | None = None) -> str:
        """Make a database and return its address: an empty one, or a copy of `template`."""
        name = f"driftline_{uuid.uuid4().hex}"
        copied = f' TEMPLATE "{template}"' if template else ""
        with self._admin.connect() as conn:
            conn.exec_driver_sql(f'CREATE DATABASE "{name}"{copied}')
        self._made.append(name)
        return self.url_of(name)

    def copy_of(self, what: str, fill: Callable[[Engine], object] | None = None) -> str:
        """A copy of the database of this name, which is migrated and filled the first time."""
        if what not in self._templates:
            url = self.create()
            engine = storage.create(url)
            storage.upgrade(engine)
            if fill is not None:
                fill(engine)
            engine.dispose()
            self._templates[what] = str(sa.make_url(url).database)
        return self.create(self._templates[what])

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        name = str(sa.make_url(url).database)
        with self._admin.connect() as conn:
            conn.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.remove(name)

    def close(self) -> None:
        """Take everything away that was made here."""
        if self.server is not None:
            self.server.remove()
        else:
            for name in list(self._made):
                self.drop(self.url_of(name))


def start(folder: Path | None = None) -> Databases:
    """Return this run's databases; skip the test where PostgreSQL is missing, but not in CI.

    Parameters
    ----------
    folder
        Where a server of this run keeps its files; None for the usual place.
    """
    if importlib.util.find_spec("psycopg") is None:
        _missing("the driver psycopg is not installed: pip install 'driftline[postgres]'")
    given = os.environ.get(VARIABLE)
    if given:
        return Databases(given)
    found = programs()
    if found is None:
        _missing("PostgreSQL's programs are missing: apt-get install postgresql")
    server = Server(found, folder)
    return Databases(server.url, server)


def _missing(why: str) -> Any:
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"CI must test PostgreSQL: {why}")
    pytest.skip(why)
