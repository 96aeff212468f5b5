"""A whole fedidoc instance as a process of its own, driven by its commands as an operator would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now on `host`."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class CommandFailed(AssertionError):
    """A command ended with another exit code than 0."""


@dataclass
class Instance:
    """`Instance(folder).init().start()`; everything it writes stays in `folder`."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    database: str | None = None
    name: str = "Test Hospital"
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.host)

    @property
    def domain(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.domain}"

    @property
    def log(self) -> Path:
        return self.folder / "serve.log"

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """One command with this instance's configuration; whatever it answers."""
        return subprocess.run(
            [sys.executable, "-m", "fedidoc", *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder if self.folder.exists() else None,
            input=stdin if stdin is not None else "",
            timeout=120,
            env=_environment(),
        )

    def command(self, *arguments: str, stdin: str | None = None) -> list[dict[str, Any]]:
        """One command with `--json`: the lines it printed; CommandFailed unless it exits with 0."""
        done = self.run(
            "--config", str(self.folder / "config.toml"), *arguments, "--json", stdin=stdin
        )
        if done.returncode != 0:
            raise CommandFailed(f"{arguments} -> {done.returncode}: {done.stdout} {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def init(self) -> Instance:
        arguments = ["init", str(self.folder), "--domain", self.domain, "--name", self.name]
        if self.database:
            arguments += ["--database", self.database]
        done = self.run(*arguments)
        if done.returncode != 0:
            raise CommandFailed(f"init -> {done.returncode}: {done.stdout} {done.stderr}")
        return self

    def start(self, *options: str, wait: float = 30.0) -> Instance:
        """Start `fedidoc serve` and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "fedidoc",
                    "--config", str(self.folder / "config.toml"), "serve", *options,
                ],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + wait
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise CommandFailed(f"serve ended early: {self.log.read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/.well-known/nodeinfo", timeout=2):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise CommandFailed(f"serve did not answer: {self.log.read_text()[-2000:]}")

    def stop(self) -> int | None:
        """SIGTERM, and its exit code; SIGKILL if it does not end in 15 s."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        code = self.process.returncode
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL to the process and all it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def member(self, username: str, *options: str) -> dict[str, Any]:
        """Add a verified physician, or what `options` say; its username, actor and password."""
        return self.command(
            "member", "add", username, "--email", f"{username}@example.org",
            "--name", username.replace("_", " ").title(), "--role", "physician",
            "--specialty", "207RC0000X", *(options or ("--verified-by", "test")),
        )[0]  # fmt: skip

    def queue(self) -> dict[str, dict[str, int]]:
        status: dict[str, dict[str, int]] = self.command("queue", "status")[0]
        return status

    def stats(self) -> dict[str, int]:
        counts: dict[str, int] = self.command("stats")[0]
        return counts

    def __enter__(self) -> Instance:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def until(holds: Any, seconds: float = 20.0, pause: float = 0.2) -> Any:
    """Call `holds` until it answers something true; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        last = holds()
        if last:
            return last
        time.sleep(pause)
    raise AssertionError(f"did not come true within {seconds} s; last answer: {last!r}")


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEDIDOC_")}
    kept["PYTHONUNBUFFERED"] = "1"
    return kept
