"""An instance whose server is a process of its own and whose commands run in this one.

A command in a process of its own takes a second of start-up; tests/test_cli.py starts some so.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from click.testing import CliRunner

from fedidoc.app import Rooms, build_rooms
from fedidoc.cli import fedidoc
from fedidoc.config import load
from fedidoc.storage.engine import Database, Row
from tests.instance import CommandFailed, Instance
from tests.postgres import run_apart

T = TypeVar("T")


class Site(Instance):
    """`Site(folder, host=…).init()`; members by `member`, their programs by `as_member`."""

    def init(self) -> Site:
        options = ["--database", self.database] if self.database else []
        self._invoke(
            "init", str(self.folder), "--domain", self.domain, "--name", self.name, *options
        )
        return self

    def command(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        out = self._invoke("--config", str(self._config), *arguments, "--json", stdin=stdin)
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def as_member(self, username: str) -> Caller:
        """The client API in a member's name."""
        token: str = self.command("token", "create", username)[0]["token"]
        return Caller(self.url, token)

    def rows(self, sql: str, *params: object) -> list[Row]:
        """What the database holds, whether the server runs or not."""

        async def read() -> list[Row]:
            db = await Database.open(load(self._config).database_url, readers=1)
            try:
                return await db.fetch_all(sql, params)
            finally:
                await db.close()

        return run_apart(read())

    def value(self, sql: str, *params: object) -> Any:
        return self.rows(sql, *params)[0][0]

    def with_rooms(self, work: Callable[[Rooms], Coroutine[Any, Any, T]]) -> T:
        """Run `work` with this instance's rooms."""

        async def run() -> T:
            async with build_rooms(load(self._config)) as rooms:
                return await work(rooms)

        return run_apart(run())

    @property
    def _config(self) -> Path:
        return self.folder / "config.toml"

    def _invoke(self, *arguments: str, stdin: str | None = None) -> str:
        hidden = {name: None for name in os.environ if name.startswith("FEDIDOC_")}
        # In a thread, because a test may have a loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(
                CliRunner().invoke, fedidoc, arguments, input=stdin, env=hidden
            ).result()
        if done.exit_code != 0 or done.exception is not None:
            raise CommandFailed(f"{arguments} -> {done.output} {done.exception!r}")
        return done.stdout


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """A program with a member's token. A call that is refused raises CommandFailed."""

    base: str
    token: str

    def get(self, path: str, **query: str) -> Any:
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def post(self, path: str, **fields: str) -> Any:
        return self._call("POST", path, fields)

    def put(self, path: str, **fields: str) -> Any:
        return self._call("PUT", path, fields)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def try_(self, method: str, path: str, **fields: str) -> Answer:
        """Any answer, also a refusal."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = urllib.parse.urlencode(fields).encode() if fields else None
        return ask(method, f"{self.base}/api{path}", headers, body)

    def _call(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Any:
        answer = self.try_(method, path, **(fields or {}))
        if answer.status != 200:
            raise CommandFailed(f"{method} {path} -> {answer.status} {answer.body!r}")
        return answer.json

    def cases(self) -> dict[str, dict[str, Any]]:
        """The cases that the member may read, by title."""
        found = self.get("/v1/timelines/public", limit="40")
        return {each["fedidoc"]["title"]: each for each in found}

    def answers(self, case_id: str) -> dict[str, dict[str, Any]]:
        """The answers to a case, by their words."""
        below = self.get(f"/v1/statuses/{case_id}/context")["descendants"]
        return {re.sub("<[^>]*>", "", each["content"]).strip(): each for each in below}


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """One request; whatever came back."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, response.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.read())


def watch(holds: Callable[[], T | None], seconds: float = 30.0) -> T:
    """Call `holds` until it answers something true; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        last = holds()
        if last:
            return last
        assert time.monotonic() < end, f"did not come true in {seconds} s; last answer: {last!r}"
        time.sleep(0.1)
