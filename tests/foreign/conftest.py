"""Foreign servers from the package registries, installed once into a cache and started for real.

Where a registry is away the tests are skipped and say so; with FEDIDOC_REQUIRE_FOREIGN=1 (set where
the registries are known to be there) they fail instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.installed import Away, alone, install_node_package
from tests.instance import Instance, free_port

_HERE = Path(__file__).parent


def absent(reason: str) -> None:
    """Skip, or fail where what is missing is known to be there."""
    if os.environ.get("FEDIDOC_REQUIRE_FOREIGN") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def fedify() -> tuple[Path, Path]:
    """(the node program, the folder in which the Fedify peer is installed)."""
    try:
        with alone():
            return install_node_package(_HERE / "fedify", "@fedify/fedify")
    except Away as reason:
        absent(str(reason))
        raise


@pytest.fixture(scope="session")
def credentials_js() -> tuple[Path, Path]:
    """(the node program, the folder with another implementation of Verifiable Credentials)."""
    try:
        with alone():
            return install_node_package(_HERE / "vc", "@digitalbazaar/vc-bitstring-status-list")
    except Away as reason:
        absent(str(reason))
        raise


@dataclass
class FedifyPeer:
    """A running Fedify server with one actor; `peer(what, **body)` makes it do something."""

    port: int

    @property
    def actor(self) -> str:
        return f"http://127.0.0.1:{self.port}/users/maria"

    @property
    def domain(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __call__(self, what: str, **body: Any) -> dict[str, Any]:
        answer = self._ask(what, json.dumps(body).encode())
        assert isinstance(answer, dict)
        return answer

    def received(self, kind: str) -> list[dict[str, Any]]:
        """Activities of one type that the peer let through, oldest first."""
        answer = self._ask("received", b"")
        assert isinstance(answer, list)
        return [activity for activity in answer if activity["type"] == kind]

    def _ask(self, what: str, body: bytes) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/control/{what}", data=body or None
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"the Fedify peer could not {what}: {error.read()!r}") from None


@pytest.fixture(params=["cavage", "rfc9421"])
def fedify_peer(request: pytest.FixtureRequest, fedify: tuple[Path, Path]) -> Iterator[FedifyPeer]:
    node, home = fedify
    port = free_port()
    log = (home / "peer.log").open("wb")
    process = subprocess.Popen(
        [node, "peer.mjs", str(port), request.param], cwd=home, stdout=log, stderr=log
    )
    try:
        peer = FedifyPeer(port)
        until = time.monotonic() + 30
        while True:
            try:
                peer.received("Follow")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError("the Fedify peer did not start") from None
                time.sleep(0.2)
        yield peer
    finally:
        process.terminate()
        process.wait(10)
        log.close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path / "hospital").init() as made:
        yield made
