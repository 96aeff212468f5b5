"""A real PostgreSQL for the tests, brought up by themselves: no service, no set-up, no root needed.

The server runs from a temporary folder on a Unix socket there, as the user `postgres` when the
tests run as root (it refuses to run as root). `fsync` is off except where a test asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import asyncpg

_NEEDED = ("initdb", "postgres")
T = TypeVar("T")


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread of its own, apart from the tests' event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def find_binaries() -> Path | None:
    """The folder with PostgreSQL's server programs: the newest of Debian's, or one on the PATH."""
    places = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdigit()],
        reverse=True,
    )
    places += [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in _NEEDED):
            return place
    return None


class RunningServer:
    """A server that is up already, where the tests may create and drop databases."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        # Several test runs may share the server.
        self._name = f"fedidoc_test_{secrets.token_hex(4)}"
        self._template = f"{self._name}_template"

    def url(self, database: str) -> str:
        """The URL of a database of this server."""
        return urlsplit(self._url)._replace(path=f"/{database}").geturl()

    def make_template(self, fill: Callable[[str], None]) -> None:
        """Create the database that the fresh ones are copied from; `fill` gets its URL."""
        self.sql(f'CREATE DATABASE "{self._template}" TEMPLATE template0')
        fill(self.url(self._template))

    def fresh_database(self) -> str:
        """The name of a new copy of the template."""
        name = f"{self._name}_{next(self._numbers)}"
        # FILE_COPY (since 15) reads and writes less than the WAL-logged way of copying.
        strategy = " STRATEGY FILE_COPY" if self._version() >= 150000 else ""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}"{strategy}')
        return name

    def drop_database(self, name: str) -> None:
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def remove(self) -> None:
        """Leave the server as it was found."""
        self.drop_database(self._template)

    def sql(self, statement: str) -> Any:
        """Run one statement in the maintenance database; its first value."""

        async def run() -> Any:
            connection = await asyncpg.connect(self._url, timeout=10)
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return run_apart(run())

    @cache  # noqa: B019 - one or two servers in a test session
    def _version(self) -> int:
        return int(self.sql("SHOW server_version_num"))


class PostgresServer(RunningServer):
    """One server with its own data folder; `remove()` stops it and deletes everything."""

    def __init__(self, binaries: Path, *, fsync: bool = False) -> None:
        self._binaries = binaries
        self._fsync = fsync
        # Not below pytest's own folder: that may be closed to the user postgres, and the path of
        # a Unix socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="fedidoc-pg-"))
        self._data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        host = quote(str(self._folder), safe="")
        super().__init__(f"postgresql://postgres@/postgres?host={host}")
        # The server must not outlive a test run that is killed.
        self._prefix = ["setpriv", "--pdeathsig=QUIT"] if shutil.which("setpriv") else []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            shutil.chown(self._folder, user.pw_uid, user.pw_gid)
            self._prefix = [
                *self._prefix,
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
            ]

    def start(self) -> None:
        """Start, or start again after a crash; returns when connections are taken.

        The server ends when the thread that called this does.
        """
        if not self._data.exists():
            self._run("initdb", "-D", str(self._data), "-U", "postgres", "-E", "UTF8",
                      "--locale=C", "--auth=trust", "--no-sync")  # fmt: skip
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "fsync": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
            "shared_buffers": "32MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        command = [*self._prefix, str(self._binaries / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                start_new_session=True,
            )  # fmt: skip
        self.wait_until_ready()

    def kill(self) -> None:
        """SIGKILL to the postmaster and all of its backends, as a power cut would have it."""
        assert self._process is not None
        doomed = [self._process.pid, *self._backends()]
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)

    def kill_backend(self, database: str) -> None:
        """SIGKILL to one client's backend: the postmaster then restarts all the others as well."""
        pid = self.sql(f"SELECT MAX(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        os.kill(pid, signal.SIGKILL)

    def _backends(self) -> list[int]:
        """The postmaster's children (each leads a session of its own)."""
        assert self._process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # pid (name) state ppid …, proc_pid_stat(5); the name may hold spaces.
                if int(stat.read_text().rpartition(")")[2].split()[1]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found

    def remove(self) -> None:
        """Stop it at once and delete all it had."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What the server wrote, for a failure's message."""
        path = self._folder / "log"
        return path.read_text("utf-8", "replace")[-4000:] if path.exists() else ""

    def wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                self.sql("SELECT 1")
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not become ready:\n{self.log()}")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._prefix, str(self._binaries / program), *arguments],
            check=True, capture_output=True, cwd="/", timeout=120,
        )  # fmt: skip
