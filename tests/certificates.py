"""Certificates for tests, made with openssl: an authority, what it issues, and what nobody has issued."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

KEY = ("-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 as openssl writes it, with colons."""
        return openssl("x509", "-in", self.cert, "-noout", "-fingerprint", "-sha256").strip().partition("=")[2]


@dataclass
class Certificates:
    """Made on demand, in a folder; those of one name are made once."""

    folder: Path

    @cached_property
    def authority(self) -> Certificate:
        return self.self_signed("authority", "Authority")

    def self_signed(self, file: str, name: str = "localhost") -> Certificate:
        made = Certificate(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        if not made.cert.exists():
            names = ("-addext", f"subjectAltName=DNS:{name}")
            openssl(
                *("req", "-x509", "-days", "30", *KEY, "-keyout", made.key, "-out", made.cert),
                *("-subj", f"/O={file}/CN={name}", *names),
            )
        return made

    def issued(self, file: str, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 30) -> Certificate:
        """What the authority issues; negative days: it has expired."""
        made = Certificate(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        if not made.cert.exists():
            asked, named = made.cert.with_suffix(".csr"), made.cert.with_suffix(".ext")
            named.write_text(f"subjectAltName={names}\n")
            openssl("req", *KEY, "-keyout", made.key, "-out", asked, "-subj", f"/CN={file}")
            openssl(
                *("x509", "-req", "-in", asked, "-CA", self.authority.cert, "-CAkey", self.authority.key),
                *("-CAcreateserial", "-days", str(days), "-extfile", named, "-out", made.cert),
            )
        return made
