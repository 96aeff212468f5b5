"""Measure the libraries that were chosen against those that were not: docs/decisions/0001.

    python benchmarks/libraries.py

Makes a throw-away virtual environment, installs both sides from the package registry, and prints a
table. Figures are CPU time, given also as multiples of one RSA-2048 signature on the same machine,
so that two machines can be compared. Hostile inputs run in a process of their own with a limit.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

LIMIT = 120  # seconds for one hostile input
PACKAGES = ["aiohttp", "bleach", "cryptography", "httpsig", "markdown", "markdown-it-py", "nh3"]
PACKAGES += ["setuptools<81"]  # httpsig imports pkg_resources, which later setuptools left out

NOTE = """**Question.** 64-year-old woman, *three days* of pleuritic pain; CRP 41 mg/L, D-dimer 0.3.

- ECG: diffuse concave ST elevation, PR depression
- Echo: [small effusion](https://example.org/echo), no tamponade

> Would you start colchicine now?
"""
HTML = (
    "<p><strong>Question.</strong> 64-year-old woman, <em>three days</em> of pleuritic pain.</p>"
    '<ul><li>ECG: diffuse ST elevation</li><li>Echo: <a href="https://example.org/e">small</a>'
    '</li></ul><blockquote onclick="x()">Would you start colchicine now?</blockquote>'
    "<script>alert(1)</script>"
) * 4
HOSTILE = {
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(50_000)) + ">x</p>",
    "nested": "<div>" * 20_000 + "x" + "</div>" * 20_000,
    "brackets": "[" * 10_000,
    "quotes": ">" * 10_000 + " x",
}


def cpu(work: Callable[[], object], *, seconds: float = 0.4) -> float:
    """CPU seconds of one call: the best of three rounds."""
    work()
    best, rounds, count = float("inf"), 0, 1
    while rounds < 3:
        start = time.process_time()
        for _ in range(count):
            work()
        spent = time.process_time() - start
        if spent < seconds / 4:
            count *= 2
            continue
        best, rounds = min(best, spent / count), rounds + 1
    return best


# Signatures -----------------------------------------------------------------------------------


def signatures() -> dict[str, float | str]:
    """CPU seconds of signing and of verifying one request, and what HMAC confusion does."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public_pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = b"x" * 2_000
    digest = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers = {
        "host": "society.example",
        "date": "Mon, 23 Nov 2026 16:59:00 GMT",
        "digest": digest,
    }
    names = ["(request-target)", "host", "date", "digest"]
    base = "\n".join(
        ["(request-target): post /inbox", *(f"{name}: {value}" for name, value in headers.items())]
    ).encode()
    signature = private.sign(base, padding.PKCS1v15(), hashes.SHA256())
    small = ed25519.Ed25519PrivateKey.generate()
    small_public, small_signature = small.public_key(), small.sign(base)
    result: dict[str, float | str] = {
        "unit": cpu(lambda: private.sign(base, padding.PKCS1v15(), hashes.SHA256())),
        "cryptography rsa verify": cpu(
            lambda: public.verify(signature, base, padding.PKCS1v15(), hashes.SHA256())
        ),
        "cryptography ed25519 sign": cpu(lambda: small.sign(base)),
        "cryptography ed25519 verify": cpu(lambda: small_public.verify(small_signature, base)),
    }
    if importlib.util.find_spec("fedidoc"):
        result.update(_ours(private, body))
    from httpsig import HeaderSigner, HeaderVerifier

    signed = HeaderSigner("k", pem, "rsa-sha256", names).sign(
        dict(headers), method="POST", path="/inbox"
    )
    forged = HeaderSigner("k", public_pem, "hmac-sha256", names).sign(
        dict(headers), method="POST", path="/inbox"
    )

    def check(request: dict[str, str]) -> bool:
        verifier = HeaderVerifier(request, public_pem, names, method="POST", path="/inbox")
        return bool(verifier.verify())

    result["httpsig rsa verify"] = cpu(lambda: check(signed))
    result["httpsig genuine"] = "accepted" if check(signed) else "refused"
    result["httpsig forged: HMAC keyed by the public key"] = (
        "ACCEPTED" if check(forged) else "refused"
    )
    return result


def _ours(private: object, body: bytes) -> dict[str, float | str]:
    """fedidoc's own module: parse, dates, digest, signature, as an inbox does."""
    from fedidoc.activitypub import signatures as ours
    from fedidoc.activitypub.messages import Request

    key = ours.SigningKey("https://a.example/u#main-key", private)  # type: ignore[arg-type]
    now = int(time.time() * 1000)
    url = "https://society.example/inbox"
    scheme = ours.Scheme.CAVAGE
    kind = "application/activity+json"

    def sign() -> dict[str, str]:
        return ours.sign("POST", url, body, key=key, scheme=scheme, now_ms=now, content_type=kind)

    headers = tuple((name.lower(), value) for name, value in sign().items())
    request = Request("POST", url, headers, body)
    public = ours.VerifyingKey(key.key_id, "https://a.example/u", private.public_key())  # type: ignore[attr-defined]

    def verify() -> None:
        parsed = ours.parse(request)
        ours.check_dates(parsed, request, now)
        ours.check_digest(request)
        ours.verify(parsed, request, public)

    return {
        "fedidoc rsa sign, whole request": cpu(sign),
        "fedidoc rsa verify, whole request": cpu(verify),
    }


# Sanitisers and Markdown ----------------------------------------------------------------------


def _tools() -> dict[str, Callable[[str], str]]:
    import bleach
    import markdown
    import nh3
    from markdown_it import MarkdownIt

    tags = ["p", "strong", "em", "ul", "li", "blockquote", "a"]
    commonmark = MarkdownIt("commonmark", {"html": False})
    return {
        "bleach": lambda text: str(bleach.clean(text, tags=tags, attributes={"a": ["href"]})),
        "nh3": lambda text: nh3.clean(text, tags=set(tags), attributes={"a": {"href"}}),
        "markdown": lambda text: str(markdown.markdown(text)),
        "markdown-it-py": lambda text: str(commonmark.render(text)),
    }


def hostile(tool: str, kind: str) -> float:
    """CPU seconds of one hostile input, in this process."""
    work = _tools()[tool]
    start = time.process_time()
    try:
        work(HOSTILE[kind])
    except RecursionError:
        return -1.0
    return time.process_time() - start


def texts() -> dict[str, float | str]:
    """CPU seconds of ordinary texts, and what becomes of a javascript: link."""
    tools = _tools()
    result: dict[str, float | str] = {}
    for name in ("bleach", "nh3"):
        result[f"{name}, ordinary HTML ({len(HTML)} characters)"] = cpu(
            lambda n=name: tools[n](HTML)
        )  # type: ignore[misc]
    for name in ("markdown", "markdown-it-py"):
        result[f"{name}, ordinary note ({len(NOTE)} characters)"] = cpu(
            lambda n=name: tools[n](NOTE)
        )  # type: ignore[misc]
        link = tools[name]("[x](javascript:alert(1))")
        result[f"{name}, [x](javascript:…)"] = (
            "LETS IT THROUGH" if 'href="javascript:' in link else "no link made"
        )
    return result


# Running --------------------------------------------------------------------------------------


def _in(python: str, *arguments: str) -> str:
    done = subprocess.run(
        [python, __file__, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT * 2,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2_000:])
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fedidoc-libraries-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        print("Installing into a throw-away environment …", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        print(f"Python {sys.version.split()[0]}; {_in(python, 'versions').strip()}")
        figures = json.loads(_in(python, "signatures"))
        unit = figures.pop("unit")
        print(f"Unit: one RSA-2048 signature = {unit * 1e6:.0f} µs of CPU\n")
        figures.update(json.loads(_in(python, "texts")))
        for name, value in figures.items():
            _line(name, value, unit)
        for tool, kinds in {
            "bleach": ("attributes", "nested"),
            "nh3": ("attributes", "nested"),
            "markdown": ("brackets", "quotes"),
            "markdown-it-py": ("brackets", "quotes"),
        }.items():
            for kind in kinds:
                try:
                    answer = subprocess.run(
                        [python, __file__, "hostile", tool, kind],
                        capture_output=True,
                        text=True,
                        timeout=LIMIT,
                        check=False,
                    )
                    seconds: float | str = float(answer.stdout) if answer.stdout else "crashed"
                except subprocess.TimeoutExpired:
                    seconds = f"not done after {LIMIT} s"
                _line(
                    f"{tool}, hostile: {kind}", "RecursionError" if seconds == -1 else seconds, unit
                )


def _line(name: str, value: float | str, unit: float) -> None:
    if isinstance(value, str):
        print(f"{name:<58} {value}")
    else:
        amount = f"{value * 1e6:,.0f} µs" if value < 0.1 else f"{value:.2f} s"
        print(f"{name:<58} {amount:>12}   {value / unit:>12,.2f} units")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case ["versions"]:
            names = [name.partition("<")[0] for name in PACKAGES]
            print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
        case ["signatures"]:
            print(json.dumps(signatures()))
        case ["texts"]:
            print(json.dumps(texts()))
        case ["hostile", tool, kind]:
            print(hostile(tool, kind))
        case _:
            raise SystemExit("usage: python benchmarks/libraries.py")
