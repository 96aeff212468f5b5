"""Two instances with TLS of their own, under a private authority, as inside a hospital network."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trustme

from tests.instance import Instance, until


class Tls(Instance):
    """An instance that answers https with its own certificate."""

    @property
    def url(self) -> str:
        return f"https://{self.domain}"

    def secure(self, authority: trustme.CA, ca_file: Path) -> Tls:
        """Write certificate and key, and believe the authority; nothing goes over plain HTTP."""
        self.init()
        issued = authority.issue_cert(self.host)
        issued.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.folder / "certificate.pem"), append=number > 0)
        path = self.folder / "config.toml"
        text = path.read_text()
        for key, value in (
            ("tls_certificate", '"certificate.pem"'),
            ("tls_key", '"key.pem"'),
            ("allow_plain_http", "false"),
            ("private_networks", '["127.0.0.0/8"]'),
            ("ca_file", f'"{ca_file}"'),
        ):
            lines = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
            section = "[server]" if key.startswith("tls_") else "[federation]"
            lines.insert(lines.index(section) + 1, f"{key} = {value}")
            text = "\n".join(lines) + "\n"
        path.write_text(text)
        return self


def test_a_case_travels_over_tls_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    hospital = Tls(tmp_path / "hospital", "127.0.0.1").secure(authority, ca_file)
    society = Tls(tmp_path / "society", "127.0.0.2").secure(authority, ca_file)
    assert hospital.member("osler")["actor"] == f"https://{hospital.domain}/users/osler"
    society.member("curie")
    hospital.command("peer", "allow", society.domain)
    society.command("peer", "allow", hospital.domain)
    text = tmp_path / "case.txt"
    text.write_text("A man in his sixties with chest pressure for three hours.")
    with hospital, society:
        hospital.start()
        society.start()
        until(lambda: all(i.command("peer", "list")[0]["software"] for i in (hospital, society)))
        society.command("follow", "curie", f"@osler@{hospital.domain}")
        hospital.command(
            "case", "open", "osler", "--title", "Chest pressure", "--text", str(text),
            "--audience", "verified",
        )  # fmt: skip
        until(lambda: society.stats()["posts"] == 1)
        with (
            socket.create_connection((hospital.host, hospital.port), timeout=5) as plain,
            pytest.raises(ssl.SSLError),
        ):
            ssl.create_default_context(cadata=_another_authority()).wrap_socket(
                plain, server_hostname=hospital.host
            )
    for instance in (hospital, society):
        assert instance.queue()["delivery"]["dead"] == 0


def _another_authority() -> str:
    """Whoever believes this one believes neither instance."""
    return trustme.CA().cert_pem.bytes().decode()
