"""CPU time of a process, and the calibration that makes figures of machines comparable."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def calibrate(count: int = 1000) -> float:
    """Seconds of CPU that `count` RSA-2048 PKCS#1 v1.5 SHA-256 signatures take here and now.

    Half of them before what is measured and half after it: shared machines change their speed."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    start = time.process_time()
    for number in range(count):
        key.sign(number.to_bytes(8, "big"), padding.PKCS1v15(), hashes.SHA256())
    return time.process_time() - start


def cpu_of(pid: int) -> float:
    """Seconds of CPU, user and system, that the process and its threads have used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    """Keep a process, all its threads included, on one core; nothing where there is only one."""
    if (os.cpu_count() or 1) > core:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
