import base64
import gzip
import tracemalloc
import zlib

import pytest

from fedidoc.verification import status
from fedidoc.verification.status import StatusBits, StatusError


def packed(data: bytes) -> str:
    return "u" + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_bits_stand_where_the_standard_puts_them() -> None:
    bits = status.decode(status.encode([0, 9, 131_071]))
    assert len(bits) == 16_384
    assert bits[0] == 0b1000_0000
    assert bits[1] == 0b0100_0000
    assert bits[-1] == 0b0000_0001
    assert sum(bits) == 0b1000_0000 + 0b0100_0000 + 1


def test_a_list_is_the_same_text_each_time_and_small() -> None:
    assert status.encode([5]) == status.encode([5])
    assert len(status.encode(range(0, 131_072, 1000))) < 4_000


def test_is_set_and_its_bounds() -> None:
    bits = StatusBits("u", "i", status.decode(status.encode([7, 8])), 0, 0)
    assert len(bits) == status.SIZE
    assert [n for n in range(20) if bits.is_set(n)] == [7, 8]
    with pytest.raises(IndexError):
        bits.is_set(status.SIZE)
    with pytest.raises(IndexError):
        bits.is_set(-1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "multibase"),
        ("zabc", "multibase"),
        ("u****", "gzip"),
        ("u", "cut short"),
        ("uééé", "gzip"),
        (packed(b"not gzip"), "gzip"),
        (packed(zlib.compress(bytes(16_384))), "gzip"),
        (packed(gzip.compress(bytes(16_384), mtime=0)[:-9]), "cut short"),
        (packed(gzip.compress(bytes(16_383), mtime=0)), "shorter"),
    ],
)
def test_what_is_no_list(text: str, why: str) -> None:
    with pytest.raises(StatusError, match=why):
        status.decode(text)


def test_a_bomb_is_unpacked_no_further_than_the_bound() -> None:
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    bomb = b"".join(packer.compress(block) for _ in range(256)) + packer.flush()
    assert len(bomb) < 300_000
    text = packed(bomb)
    tracemalloc.start()
    with pytest.raises(StatusError, match="too long"):
        status.decode(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20, "256 MiB were packed"
    longest = gzip.compress(bytes(status.MAX_BYTES))
    assert len(status.decode(packed(longest))) == status.MAX_BYTES
    with pytest.raises(StatusError, match="too long"):
        status.decode(packed(gzip.compress(bytes(status.MAX_BYTES + 1))))


def test_a_changed_checksum_is_noticed() -> None:
    data = bytearray(gzip.compress(bytes(16_384)))
    data[-5] ^= 1
    with pytest.raises(StatusError):
        status.decode(packed(bytes(data)))
