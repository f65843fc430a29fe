import struct
from pathlib import Path

import official_files
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphnas.formats.tfrecord import crc32c, masked_crc32c, read_records, starts_like_a_record

RECORDS = [b"first", b"", b"a longer record " * 40, b"\x00\xff\n"]


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        # RFC 3720, appendix B.4, and the usual check value.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_checksums(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def test_an_empty_record_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "one.tfrecord"
    path.write_bytes(bytes.fromhex("0000000000000000 29039807 d8ea82a2"))
    assert list(read_records(path)) == [b""]
    assert masked_crc32c(b"") == 0xA282EAD8


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "four.tfrecord"
    path.write_bytes(official_files.tfrecord(RECORDS))
    assert list(read_records(str(path))) == RECORDS
    path.write_bytes(b"")
    assert list(read_records(path)) == []


@given(data=st.binary(max_size=200))
def test_the_checksum_agrees_with_the_definition(data: bytes) -> None:
    assert crc32c(data) == official_files.crc32c(data)
    assert struct.pack("<I", masked_crc32c(data)) == official_files.masked(data)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_records_come_back(tmp_path_factory: pytest.TempPathFactory, records: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("records") / "some.tfrecord"
    path.write_bytes(official_files.tfrecord(records))
    assert list(read_records(path)) == records


def test_every_changed_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "wrong.tfrecord"
    whole = official_files.tfrecord([b"one", b"second record"])
    first = len(official_files.framed(b"one"))
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        number, offset = (1, 0) if place < first else (2, first)
        with pytest.raises(ValueError, match=rf"wrong\.tfrecord: record {number} at byte {offset}: "):
            list(read_records(path))
    for length in range(1, len(whole)):
        if length != first:
            path.write_bytes(whole[:length])
            number, offset = (1, 0) if length < first else (2, first)
            reason = f"record {number} at byte {offset}: the file ends {length - offset} bytes into it"
            with pytest.raises(ValueError, match=reason):
                list(read_records(path))


def test_the_first_of_several_errors_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.tfrecord"
    good = official_files.framed(b"good")
    path.write_bytes(good + good[:-1] + bytes([good[-1] ^ 1]) + bytes(50))
    records = read_records(path)
    assert next(records) == b"good"
    with pytest.raises(ValueError, match="record 2 at byte 20: its data do not match their checksum"):
        next(records)


def test_records_across_the_borders_of_what_is_read_together(tmp_path: Path) -> None:
    path = tmp_path / "large.tfrecord"
    different = [bytes([number]) * (300 + number) for number in range(100)]
    frames = [official_files.framed(data) for data in different] * 130
    path.write_bytes(b"".join(frames))
    assert path.stat().st_size > 2**22
    assert list(read_records(path)) == different * 130
    frames[12_950] = frames[12_950][:-1] + bytes([frames[12_950][-1] ^ 1])
    path.write_bytes(b"".join(frames))
    with pytest.raises(ValueError, match=f"record 12951 at byte {sum(map(len, frames[:12_950])):,}: its data"):
        list(read_records(path))


def test_long_records_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.tfrecord"
    length = struct.pack("<Q", 2**40)
    path.write_bytes(official_files.framed(b"good") + length + official_files.masked(length))
    with pytest.raises(ValueError, match="record 2 at byte 20: expected at most 1,048,576 bytes"):
        list(read_records(path))
    path.write_bytes(official_files.framed(b"four"))
    with pytest.raises(ValueError, match="expected at most 3 bytes"):
        list(read_records(path, longest=3))


def test_recognising_the_format(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, verdict in ((official_files.framed(b"x"), True), (b"PAR1" * 5, False), (b"short", False)):
        path.write_bytes(content)
        assert starts_like_a_record(path) is verdict
