"""TFRecord files, read without TensorFlow.

A file is a sequence of records: the length of the data (8 bytes, little endian), the masked CRC-32C of these 8 bytes
(4 bytes), the data, and the masked CRC-32C of the data (4 bytes). The mask rotates the checksum by 15 bits to the
right and adds 0xA282EAD8, so that a checksum of data that holds checksums stays a good one.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<QI")  # length of the data, masked checksum of the length
_FOOTER = 4  # bytes of the masked checksum of the data
_READ = 2**22  # bytes that are read and checked together
_FEW = 16  # records below which arrays are slower than plain integers
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed


def _make_table() -> NDArray[np.uint32]:
    """CRC-32C of each single byte."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc


_TABLE = _make_table()
_WORDS: list[int] = _TABLE.tolist()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes; 0xE3069283 for b"123456789"."""
    return _update(0xFFFFFFFF, data) ^ 0xFFFFFFFF


def _update(crc: int, data: bytes) -> int:
    for byte in data:
        crc = _WORDS[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def masked_crc32c(data: bytes) -> int:
    """The checksum as it stands in a file."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: str | Path, *, longest: int = 2**20) -> Iterator[bytes]:
    """The data of each record of a file, all checksums verified, in memory that does not grow with the file.

    Args:
        path: The file.
        longest: Bytes above which a record is refused.

    Raises:
        ValueError: naming the file, the record, from 1, and the byte where it starts.
    """
    path = Path(path)
    number, offset = 1, 0  # of the first record in the buffer
    rest = b""
    with path.open("rb") as file:
        while True:
            new = file.read(_READ)
            buffer = rest + new
            starts, lengths, end, problem = _frames(buffer, longest)
            wrong = np.flatnonzero(
                _masked_crc32c_of_parts(buffer, starts, lengths) != _footers(buffer, starts, lengths)
            )
            sound = int(wrong[0]) if wrong.size else starts.size
            for start, length in zip(starts[:sound].tolist(), lengths[:sound].tolist(), strict=True):
                yield buffer[start : start + length]
            if wrong.size:
                place = offset + int(starts[sound]) - _HEADER.size
                raise ValueError(
                    f"{path}: record {number + sound} at byte {place:,}: its data do not match their checksum"
                )
            number, offset = number + starts.size, offset + end
            if problem:
                raise ValueError(f"{path}: record {number} at byte {offset:,}: {problem}")
            rest = buffer[end:]
            if not new:
                break
    if rest:
        raise ValueError(f"{path}: record {number} at byte {offset:,}: the file ends {len(rest):,} bytes into it")


def starts_like_a_record(path: str | Path) -> bool:
    """Whether a file begins with a length and its checksum."""
    with Path(path).open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return False
    length, checksum = _HEADER.unpack(head)
    return bool(checksum == _length_checksum(length))


def _frames(buffer: bytes, longest: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int, str]:
    """Starts and lengths of the data of all whole records, where they end, and what is wrong with the one after."""
    starts, lengths, at, problem = [], [], 0, ""
    while at + _HEADER.size <= len(buffer):
        length, checksum = _HEADER.unpack_from(buffer, at)
        if checksum != _length_checksum(length):
            problem = "its length does not match its checksum"
            break
        if length > longest:
            problem = f"expected at most {longest:,} bytes of data, but got a length of {length:,}"
            break
        start = at + _HEADER.size
        if start + length + _FOOTER > len(buffer):
            break
        starts.append(start)
        lengths.append(length)
        at = start + length + _FOOTER
    return np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64), at, problem


@functools.lru_cache(maxsize=4096)
def _length_checksum(length: int) -> int:
    return masked_crc32c(length.to_bytes(8, "little"))


def _masked_crc32c_of_parts(buffer: bytes, starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.uint32]:
    """Masked checksums of many parts of a buffer, one byte of all parts at a time."""
    octets = np.frombuffer(buffer, dtype=np.uint8)
    # Longest first: the parts that still have a byte at step i are the first ones.
    order = np.argsort(-lengths, kind="stable")
    places, ordered = starts[order], lengths[order]
    crc = np.full(order.size, 0xFFFFFFFF, dtype=np.uint32)
    longest = int(ordered[0]) if ordered.size else 0
    active = order.size - np.searchsorted(ordered[::-1], np.arange(longest), side="right")
    for step, count in enumerate(active.tolist()):
        if count < _FEW:
            for part in range(count):
                rest = buffer[int(places[part]) + step : int(places[part] + ordered[part])]
                crc[part] = _update(int(crc[part]), rest)
            break
        some = crc[:count]
        crc[:count] = _TABLE[(some ^ octets[places[:count] + step]) & 0xFF] ^ (some >> np.uint32(8))
    crc ^= np.uint32(0xFFFFFFFF)
    masked = np.empty_like(crc)
    masked[order] = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    return masked


def _footers(buffer: bytes, starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[np.uint32]:
    """The checksums that stand behind the data."""
    octets = np.frombuffer(buffer, dtype=np.uint8)
    places = (starts + lengths)[:, None] + np.arange(_FOOTER)
    return np.ascontiguousarray(octets[places]).view("<u4").ravel().astype(np.uint32)
