"""The sealed link: k of n officers open it together, and nothing else does."""

from __future__ import annotations

import itertools
import json
import os
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedidoc.accounts import escrow, officers
from fedidoc.accounts.escrow import EscrowError, Officer, OpenShare, Record
from fedidoc.clock import Clock

NAMES = ("ada", "ben", "cleo", "dan", "eve")


class Board:
    """Officers with their private keys."""

    def __init__(self, *names: str) -> None:
        self.keys = {name: X25519PrivateKey.generate() for name in names}
        self.officers = [Officer(name, key.public_key()) for name, key in self.keys.items()]

    def seal(self, account: str, threshold: int = 3, pseudonym: str = "") -> Record:
        return escrow.seal(pseudonym or Clock().random_id(), account, self.officers, threshold)

    def open(self, record: Record, name: str) -> OpenShare:
        return escrow.open_share(record, name, self.keys[name])


@pytest.fixture(scope="module")
def board() -> Board:
    return Board(*NAMES)


def test_any_k_of_n_open_it_in_any_order(board: Board) -> None:
    account = Clock().random_id()
    record = board.seal(account)
    for chosen in itertools.permutations(NAMES, 3):
        assert escrow.open_record(record, [board.open(record, n) for n in chosen]) == account
    everybody = [board.open(record, name) for name in NAMES]
    assert escrow.open_record(record, everybody) == account


def test_fewer_than_k_open_nothing(board: Board) -> None:
    record = board.seal("somebody")
    for chosen in itertools.combinations(NAMES, 2):
        shares = [board.open(record, name) for name in chosen]
        with pytest.raises(EscrowError, match="3 different shares are needed"):
            escrow.open_record(record, shares)
        with pytest.raises(EscrowError, match="these are 2"):
            escrow.open_record(record, [*shares, shares[0]])  # one twice is no third


def test_lowering_the_threshold_in_the_record_opens_nothing(board: Board) -> None:
    record = board.seal("somebody")
    shares = [board.open(record, name) for name in NAMES[:2]]
    with pytest.raises(EscrowError, match="was changed"):
        escrow.open_record(replace(record, threshold=2), shares)


def test_shares_of_another_record_of_the_same_pseudonym_are_refused(board: Board) -> None:
    one = board.seal("somebody", pseudonym="p")
    other = board.seal("somebody", pseudonym="p")
    shares = [board.open(one, "ada"), board.open(one, "ben"), board.open(other, "cleo")]
    with pytest.raises(EscrowError, match="another record"):
        escrow.open_record(one, shares)
    forged = replace(shares[2], record=one.id)
    with pytest.raises(EscrowError, match="not the one that was sealed"):
        escrow.open_record(one, [*shares[:2], forged])


def test_a_sealed_share_moved_to_another_record_does_not_open(board: Board) -> None:
    one, other = board.seal("anna"), board.seal("ben")
    moved = replace(one, shares=other.shares)
    with pytest.raises(EscrowError, match="does not open"):
        board.open(moved, "ada")


def test_a_record_swapped_under_another_pseudonym_does_not_open(board: Board) -> None:
    """Somebody with the database could try to have the wrong person unmasked."""
    record = board.seal("anna", pseudonym="accused")
    innocent = board.seal("ben", pseudonym="innocent")
    swapped = replace(innocent, pseudonym="accused")
    with pytest.raises(EscrowError, match="does not open"):
        board.open(swapped, "ada")
    mixed = replace(record, sealed=innocent.sealed)
    with pytest.raises(EscrowError, match="was changed"):
        escrow.open_record(mixed, [board.open(record, name) for name in NAMES[:3]])


def test_every_changed_byte_is_noticed(board: Board) -> None:
    record = board.seal("anna")
    shares = [board.open(record, name) for name in NAMES[:3]]
    for place in range(len(record.sealed)):
        changed = bytearray(record.sealed)
        changed[place] ^= 1
        with pytest.raises(EscrowError):
            escrow.open_record(replace(record, sealed=bytes(changed)), shares)
    sealed = record.shares[0].sealed
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 0x80
        first = replace(record.shares[0], sealed=bytes(changed))
        with pytest.raises(EscrowError):
            board.open(replace(record, shares=(first, *record.shares[1:])), "ada")


def test_another_key_opens_no_share(board: Board) -> None:
    record = board.seal("anna")
    with pytest.raises(EscrowError, match="does not open"):
        escrow.open_share(record, "ada", X25519PrivateKey.generate())
    with pytest.raises(EscrowError, match="does not open"):
        escrow.open_share(record, "ada", board.keys["ben"])
    with pytest.raises(EscrowError, match="holds no share"):
        escrow.open_share(record, "nobody", board.keys["ada"])


def test_k_minus_one_shares_say_nothing_of_the_key(board: Board) -> None:
    """With two of three, every value of the third would give a key: the proofs alone decide."""
    record = board.seal("anna")
    shares = [board.open(record, name) for name in NAMES[:2]]
    number = next(s.number for s in record.shares if s.officer == "cleo")
    for _ in range(200):
        guess = OpenShare(record.id, number, os.urandom(16))
        with pytest.raises(EscrowError, match="not the one that was sealed"):
            escrow.open_record(record, [*shares, guess])


def test_a_successor_gets_the_share_and_nothing_is_opened(board: Board) -> None:
    record = board.seal("anna")
    heirs = Board("fay")
    after = escrow.hand_over(record, "cleo", board.keys["cleo"], heirs.officers[0])
    assert [s.officer for s in after.shares] == ["ada", "ben", "fay", "dan", "eve"]
    assert after.sealed == record.sealed
    shares = [heirs.open(after, "fay"), board.open(after, "ada"), board.open(after, "eve")]
    assert escrow.open_record(after, shares) == "anna"
    assert escrow.open_record(record, shares) == "anna"
    with pytest.raises(EscrowError, match="holds no share"):
        escrow.open_share(after, "cleo", board.keys["cleo"])
    with pytest.raises(EscrowError, match="holds a share"):
        escrow.hand_over(record, "cleo", board.keys["cleo"], board.officers[0])


def test_records_are_of_one_size_whoever_they_are_of(board: Board) -> None:
    sizes = {
        len(escrow.write(board.seal(account, pseudonym="p" * 26)))
        for account in ("a", "b" * 26, "c" * 47)
    }
    assert len(sizes) == 1


def test_a_record_survives_its_text_and_nonsense_is_refused(board: Board) -> None:
    record = board.seal("anna")
    text = escrow.write(record)
    assert escrow.read(text) == record
    share = board.open(record, "dan")
    assert escrow.read_share(escrow.write_share(share) + "\n") == share
    document = json.loads(text)
    chance = random.Random(7)
    for field in document:
        for wrong in (None, 7, "x", [], {}, [[1, 2]], "é" * 9):
            if document[field] == wrong or isinstance(document[field], type(wrong)):
                continue
            with pytest.raises(EscrowError):
                escrow.read(json.dumps({**document, field: wrong}))
    for _ in range(300):
        cut = text[: chance.randrange(len(text))]
        with pytest.raises(EscrowError):
            escrow.read(cut)
        with pytest.raises(EscrowError):
            escrow.read_share(cut)
    with pytest.raises(EscrowError):
        escrow.read("[" * 100_000)


@pytest.mark.parametrize("threshold", [0, 1, 6])
def test_a_threshold_that_protects_nobody_is_refused(board: Board, threshold: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        board.seal("anna", threshold=threshold)


def test_one_person_cannot_be_two_officers(board: Board) -> None:
    ada = board.officers[0]
    with pytest.raises(ValueError, match="of their own"):
        escrow.seal("p", "anna", [ada, replace(ada, name="ada2"), board.officers[1]], 2)
    with pytest.raises(ValueError, match="of their own"):
        escrow.seal("p", "anna", [ada, replace(board.officers[1], name="ada")], 2)


def test_an_officers_key_opens_with_its_passphrase_only() -> None:
    made, text = officers.make("ada", "correct horse battery", cost=1 << 10)
    assert officers.open_file(text, "correct horse battery").public == made.public
    assert made.key.private_bytes_raw().hex() not in text
    with pytest.raises(EscrowError, match="passphrase"):
        officers.open_file(text, "correct horse batterx")
    renamed = text.replace('"name": "ada"', '"name": "eve"')
    with pytest.raises(EscrowError, match="passphrase"):
        officers.open_file(renamed, "correct horse battery")
    with pytest.raises(EscrowError, match="at least 12"):
        officers.make("ada", "short", cost=1 << 10)
    for wrong in ("", "{}", "[]", text[:40], text.replace(str(1 << 10), "7")):
        with pytest.raises(EscrowError, match="no officer's key"):
            officers.open_file(wrong, "correct horse battery")
