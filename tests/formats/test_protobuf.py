import struct

import pytest
from official_files import double_field, text_field, varint

from graphnas.formats.protobuf import read_fields


def test_fields_of_all_wire_types() -> None:
    message = (
        varint(1 * 8) + b"\x96\x01"  # the documentation's example: field 1 is 150
        + double_field(2, 0.25)
        + text_field(3, b"testing")
        + varint(4 * 8 + 5) + struct.pack("<I", 7)
        + varint(300 * 8) + varint(2**64 - 1)
    )  # fmt: skip
    assert list(read_fields(message)) == [(1, 150), (2, 0.25), (3, b"testing"), (4, 7), (300, 2**64 - 1)]
    assert list(read_fields(b"")) == []


def test_repeated_fields_keep_their_order() -> None:
    message = text_field(1, b"a") + text_field(2, b"b") + text_field(1, b"")
    assert list(read_fields(message)) == [(1, b"a"), (2, b"b"), (1, b"")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x08", "byte 1: expected an integer"),
        (b"\x08\xff", "byte 1: expected an integer"),
        (b"\x08" + b"\x80" * 11, "more than ten bytes"),
        (b"\x11\x00\x00", "byte 0: field 2 ends at byte 9, but the message has 3"),
        (b"\x08\x01\x1a\x05abc", "byte 2: field 3 ends at byte 9, but the message has 7"),
        (b"\x25\x00", "field 4 ends at byte 5"),
        (b"\x0b", "byte 0: expected a field of wire type 0, 1, 2 or 5, but got 3"),
        (b"\x00\x01", "the number of a field, but got 0"),
    ],
)
def test_wrong_messages_name_the_byte(message: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(read_fields(message))
