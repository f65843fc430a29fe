"""The fields of a protocol buffer message, read without its description."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_DOUBLE = struct.Struct("<d")
_FIXED32 = struct.Struct("<I")


def read_fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Number and value of each field, in the order of the message.

    The wire format does not tell all types apart: a variable-length integer comes as a non-negative int, a 64-bit
    value as a float (it is taken for a double), a 32-bit value as a non-negative int, and a string, a message or
    packed values as bytes.

    Raises:
        ValueError: naming the byte where the message ends too early or is not one.
    """
    at = 0
    while at < len(data):
        tag, after = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise ValueError(f"byte {at}: expected the number of a field, but got 0")
        if wire == 0:
            value, end = _varint(data, after)
            yield number, value
        elif wire == 1:
            end = after + _DOUBLE.size
            _check(data, at, end, number)
            yield number, _DOUBLE.unpack_from(data, after)[0]
        elif wire == 2:
            length, after = _varint(data, after)
            end = after + length
            _check(data, at, end, number)
            yield number, data[after:end]
        elif wire == 5:
            end = after + _FIXED32.size
            _check(data, at, end, number)
            yield number, _FIXED32.unpack_from(data, after)[0]
        else:
            raise ValueError(f"byte {at}: expected a field of wire type 0, 1, 2 or 5, but got {wire}")
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer and the place after it."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        value |= (data[place] & 0x7F) << shift
        if data[place] < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError(f"byte {at}: expected an integer, but the message ends or it has more than ten bytes")


def _check(data: bytes, at: int, end: int, number: int) -> None:
    if end > len(data):
        raise ValueError(f"byte {at}: field {number} ends at byte {end}, but the message has {len(data)}")
