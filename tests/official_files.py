"""NAS-Bench-101's official file format, written from its description and without the library's reader."""

import base64
import json
import struct
from collections.abc import Iterable, Sequence

OPS = {"i": "input", "3": "conv3x3-bn-relu", "1": "conv1x1-bn-relu", "m": "maxpool3x3", "o": "output"}


def crc32c(data: bytes) -> int:
    """One bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = (crc >> 15 | crc << 17) % 2**32
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(number: int) -> bytes:
    parts = []
    while number >= 128:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes([*parts, number])


def text_field(number: int, data: bytes) -> bytes:
    return varint(number * 8 + 2) + varint(len(data)) + data


def double_field(number: int, value: float) -> bytes:
    return varint(number * 8 + 1) + struct.pack("<d", value)


def evaluation(epoch: float, seconds: float, train: float, validation: float, test: float) -> bytes:
    fields = enumerate((epoch, seconds, train, validation, test), start=1)
    return b"".join(double_field(number, value) for number, value in fields) + text_field(6, b"")


def metrics(epochs: int, parameters: int, seconds: float, train: float, validation: float, test: float) -> bytes:
    evaluations = (
        evaluation(0, 0, 0.1, 0.1, 0.1),
        evaluation(epochs / 2, seconds / 2, train / 2, validation / 2, test / 2),
        evaluation(epochs, seconds, train, validation, test),
    )
    repeated = b"".join(text_field(1, each) for each in evaluations)
    return repeated + varint(2 * 8) + varint(parameters) + double_field(3, seconds + 60)


def record(
    module_hash: str,
    epochs: int,
    matrix: Sequence[str],
    ops: str,
    *,
    parameters: int,
    seconds: float,
    train: float = 1.0,
    validation: float,
    test: float,
) -> bytes:
    """One record's data; the matrix row by row, the operations by the letters of `OPS`."""
    message = metrics(epochs, parameters, seconds, train, validation, test)
    names = ",".join(OPS[letter] for letter in ops)
    return json.dumps([module_hash, epochs, "".join(matrix), names, base64.b64encode(message).decode()]).encode()


def tfrecord(records: Iterable[bytes]) -> bytes:
    return b"".join(framed(data) for data in records)


# The cell of the project's documentation, with the three published trainings over 108 epochs.
FIRST_HASH = "00005c142e6f48ac74fdcf73e3439874"
FIRST_MATRIX = ("0100110", "0010000", "0001001", "0000010", "0000010", "0000001", "0000000")
FIRST_OPS = "i3m331o"
