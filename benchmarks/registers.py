"""What it costs to import a register: a synthetic NPPES file, made from the real header.

    python -m benchmarks.registers [ROWS]          100,000 by default
    python -m benchmarks.registers 1000000 --url postgresql://…

A child process imports the file into a fresh database on one core; printed are records per second
of CPU, per second of the clock, what that is in RSA-2048 signatures of this machine (so that
machines can be compared), and the most memory that the child held. The second pass imports a newer
file with the same people, so that every row is replaced.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import calibrate, pin
from fedidoc.clock import Clock
from fedidoc.storage.engine import Database
from fedidoc.storage.migrate import migrate
from fedidoc.verification.nppes import import_nppes

HEADER = Path(__file__).resolve().parents[2] / "shared/corpora/nppes/npidata_pfile_FileHeader.csv"
STATES = ("NY", "CA", "TX", "FL", "IL", "PA", "OH", "GA")
CODES = ("207R00000X", "207Q00000X", "208600000X", "363L00000X", "363A00000X", "390200000X")


def check_digit(nine: str) -> str:
    """The Luhn digit of an NPI (the prefix 80840 adds 24)."""
    total = 24
    for place, digit in enumerate(nine):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def people(rows: int, updated: str) -> Iterator[dict[str, str]]:
    """Fictional entries: a quarter are organisations, each hundredth is deactivated."""
    chance = random.Random(1)
    for number in range(rows):
        nine = str(100_000_000 + number)
        npi = nine + check_digit(nine)
        if number % 100 == 99:
            yield {"NPI": npi, "NPI Deactivation Date": updated}
            continue
        person = {
            "NPI": npi,
            "Entity Type Code": "2" if number % 4 == 3 else "1",
            "Provider Business Practice Location Address City Name": "SPRINGFIELD",
            "Provider First Line Business Mailing Address": f"{number} MAIN STREET",
            "Provider Business Mailing Address Postal Code": "123456789",
            "Provider Business Practice Location Address State Name": chance.choice(STATES),
            "Provider Enumeration Date": "05/23/2006",
            "Last Update Date": updated,
        }
        if number % 4 == 3:
            person["Provider Organization Name (Legal Business Name)"] = f"CLINIC {number}, LLC"
        else:
            person |= {
                "Provider Last Name (Legal Name)": f"PERSON{number}",
                "Provider First Name": "ANNA",
                "Provider Middle Name": "M",
                "Provider Credential Text": "M.D.",
            }
        for place in range(1, chance.choice((2, 2, 2, 3, 4))):
            person |= {
                f"Healthcare Provider Taxonomy Code_{place}": chance.choice(CODES),
                f"Provider License Number_{place}": str(number),
                f"Provider License Number State Code_{place}": chance.choice(STATES),
                f"Healthcare Provider Primary Taxonomy Switch_{place}": "Y" if place == 1 else "N",
            }
        yield person


def write(path: Path, rows: int, updated: str) -> None:
    header = next(csv.reader([HEADER.read_text().splitlines()[0]]))
    with path.open("w", newline="") as file:
        out = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        out.writerow(header)
        for person in people(rows, updated):
            out.writerow([person.get(name, "") for name in header])


async def read(path: Path, url: str) -> dict[str, float]:
    """One import, measured in this process."""
    db = await Database.open(url, readers=1)
    try:
        await migrate(db)
        cpu, clock = time.process_time(), time.monotonic()
        report = await import_nppes(db, Clock(), path)
        return {
            "rows": report.rows,
            "malformed": report.malformed,
            "cpu": time.process_time() - cpu,
            "clock": time.monotonic() - clock,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    finally:
        await db.close()


def measure(name: str, path: Path, url: str, signature: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.registers", "--child", str(path), "--url", url],
        stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    pin(child.pid, 1)
    out, _ = child.communicate()
    found = json.loads(out)
    each = found["cpu"] / found["rows"]
    print(
        f"{name:<8} {found['rows']:>9,.0f} records  {found['rows'] / found['cpu']:>8,.0f} a second"
        f" of CPU  {found['rows'] / found['clock']:>8,.0f} a second"
        f"  {each * 1e6:>5.1f} µs = {each / signature:.3f} signatures each"
        f"  {found['peak_mb']:.0f} MB at most  {found['malformed']:.0f} malformed"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rows", type=int, nargs="?", default=100_000)
    arguments.add_argument("--url", default="")
    arguments.add_argument("--child", type=Path)
    given = arguments.parse_args()
    if given.child:
        print(json.dumps(asyncio.run(read(given.child, given.url))))
        return
    signature = calibrate() / 1000
    print(f"one RSA-2048 signature: {signature * 1e6:.0f} µs of CPU; {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/registers.db"
        for name, updated in (("first", "07/08/2020"), ("again", "07/09/2021")):
            path = Path(folder) / f"npidata_pfile_{name}.csv"
            write(path, given.rows, updated)
            size = path.stat().st_size
            print(f"{size / 1e6:.0f} MB, {size / given.rows:.0f} bytes a record")
            measure(name, path, url, signature)
            path.unlink()


if __name__ == "__main__":
    main()
