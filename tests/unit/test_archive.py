"""What a look inside an uploaded file says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from archives import CONTENT, LOG, a_7z, a_tar, a_zip, by_program, folder_of, skippable
from py7zr import FILTER_COPY, SevenZipFile

from gateway.examine.archive import directory, inspect, zip
from gateway.examine.archive.decoders import RAW_DEFLATE, Decoder, Inflate
from gateway.examine.archive.stream import CODECS
from gateway.examine.archive.tar import Tar

Look = Callable[..., dict[str, Any]]
ZEROS = bytes(3 << 20)
MIB = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(CONTENT, tmp_path_factory.mktemp("content") / "in")


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def look(content: bytes, **bounds: float) -> dict[str, Any]:
        (tmp_path / "file").write_bytes(content)
        return inspect(str(tmp_path / "file"), **bounds)

    return look


def changed(content: bytes, *positions: int) -> bytes:
    copy = bytearray(content)
    for position in positions:
        copy[position] ^= 0x55
    return bytes(copy)


def patched(content: bytes, position: int, format: str, *values: int) -> bytes:
    copy = bytearray(content)
    struct.pack_into(format, copy, position, *values)
    return bytes(copy)


INTACT: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip": (a_zip, "zip: 3 members, intact"),
    "zip of nothing": (lambda: b"PK\5\6" + bytes(18), "zip: 0 members, intact"),
    "zip with zip64 fields": (lambda: a_zip(zip64=True), "zip: 3 members, intact"),
    "zip with data descriptors": (lambda: a_zip(streamed=True), "zip: 3 members, intact"),
    "zip, stored": (lambda: a_zip(zipfile.ZIP_STORED), "zip: 3 members, intact"),
    "zip with bzip2": (lambda: a_zip(zipfile.ZIP_BZIP2), "zip: 3 members, intact"),
    "zip with lzma": (lambda: a_zip(zipfile.ZIP_LZMA), "zip: 3 members, intact"),
    "zip behind a program": (lambda: b"MZ" + bytes(2000) + a_zip(), "zip: 3 members, intact"),
    "7z": (a_7z, "7z: 3 members, intact"),
    "gzip": (lambda: gzip.compress(LOG), "gzip: intact"),
    "gzip of nothing": (lambda: gzip.compress(b""), "gzip: intact"),
    "gzip of zeros": (lambda: gzip.compress(ZEROS), "gzip: intact"),
    "gzip, zeros behind it": (lambda: gzip.compress(LOG) + bytes(200_000), "gzip: intact"),
    "gzip in members": (lambda: gzip.compress(LOG) * 2 + bytes(9) + gzip.compress(LOG), "gzip: 3 members, intact"),
    "bzip2": (lambda: bz2.compress(LOG), "bzip2: intact"),
    "bzip2 in streams": (lambda: bz2.compress(LOG) * 2, "bzip2: 2 members, intact"),
    "xz": (lambda: lzma.compress(LOG), "xz: intact"),
    "xz in streams, padded": (lambda: lzma.compress(LOG) + bytes(4) + lzma.compress(b""), "xz: 2 members, intact"),
    "zstd": (lambda: zstandard.compress(LOG), "zstd: intact"),
    "zstd of zeros": (lambda: zstandard.compress(ZEROS), "zstd: intact"),
    "zstd in frames": (lambda: zstandard.compress(LOG) + skippable(b"x" * 300_000), "zstd: 2 members, intact"),
    "tar.gz": (lambda: gzip.compress(a_tar()), "tar.gz: 3 members, intact"),
    "tar.bz2, GNU's": (lambda: bz2.compress(a_tar(tarfile.GNU_FORMAT)), "tar.bz2: 3 members, intact"),
    "tar.xz, old": (lambda: lzma.compress(a_tar(tarfile.USTAR_FORMAT)), "tar.xz: 3 members, intact"),
    "tar.zst": (lambda: zstandard.compress(a_tar()), "tar.zst: 3 members, intact"),
    "tar.gz in members": (
        lambda: gzip.compress(a_tar()[:1000]) + gzip.compress(a_tar()[1000:]),
        "tar.gz: 3 members, intact",
    ),
    "tar.gz without an end mark": (lambda: gzip.compress(a_tar(end=b"")), "tar.gz: 3 members, intact"),
}


@pytest.mark.parametrize("name", INTACT)
def test_intact(name: str, look: Look) -> None:
    make, words = INTACT[name]
    answer = look(make())
    assert (answer["words"], answer["verdict"]) == (words, "intact")


TRUNCATED, CHECKSUM = "truncated, please send again", "damaged (wrong checksum), please send again"
CORRUPT, TRAILING = "damaged, please send again", "damaged (more bytes follow its end), please send again"
DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "gzip, cut": (lambda: gzip.compress(LOG)[:-1], f"gzip: {TRUNCATED}"),
    "gzip, cut in its header": (lambda: gzip.compress(LOG)[:3], f"gzip: {TRUNCATED}"),
    "gzip, cut in its second member": (lambda: (gzip.compress(LOG) * 2)[:-9], f"gzip: {TRUNCATED}"),
    "gzip, cut in its second magic number": (lambda: gzip.compress(LOG) + b"\x1f", f"gzip: {TRUNCATED}"),
    "gzip, wrong CRC": (lambda: changed(gzip.compress(LOG), -8), f"gzip: {CHECKSUM}"),
    "gzip, wrong length": (lambda: changed(gzip.compress(LOG), -1), f"gzip: {CHECKSUM}"),
    "gzip, unknown method": (lambda: changed(gzip.compress(LOG), 2), f"gzip: {CORRUPT}"),
    "gzip and something": (lambda: gzip.compress(LOG) + b"-- \nsent from", f"gzip: {TRAILING}"),
    "bzip2, cut": (lambda: bz2.compress(LOG)[:-1], f"bzip2: {TRUNCATED}"),
    "bzip2, wrong CRC": (lambda: changed(bz2.compress(LOG), 11), f"bzip2: {CORRUPT}"),
    "bzip2 and something": (lambda: bz2.compress(LOG) + b"x" * 9, f"bzip2: {TRAILING}"),
    "xz, cut": (lambda: lzma.compress(LOG)[:-1], f"xz: {TRUNCATED}"),
    "xz, wrong CRC": (lambda: changed(lzma.compress(LOG), 60), f"xz: {CORRUPT}"),
    "xz and something": (lambda: lzma.compress(LOG) + b"x" * 9, f"xz: {TRAILING}"),
    "zstd, cut": (lambda: zstandard.compress(LOG)[:-1], f"zstd: {TRUNCATED}"),
    "zstd, wrong checksum": (
        lambda: changed(zstandard.ZstdCompressor(write_checksum=True).compress(LOG), -1),
        f"zstd: {CHECKSUM}",
    ),
    "zstd, reserved block": (lambda: zstandard.compress(LOG)[:6] + b"\xff" * 9, f"zstd: {CORRUPT}"),
    "zstd and something": (lambda: zstandard.compress(LOG) + b"x" * 9, f"zstd: {TRAILING}"),
    "tar.gz, the tar cut": (
        lambda: gzip.compress(a_tar()[:2000]),
        "tar.gz: the tar inside is truncated, please send again",
    ),
    "tar.gz, the tar overwritten": (
        lambda: gzip.compress(a_tar(tarfile.USTAR_FORMAT).replace(b"noise.bin", b"NOISE.bin")),
        f"tar.gz: {CORRUPT}",
    ),
    "tar, cut": (lambda: a_tar()[:2000], f"tar: {TRUNCATED}"),
    "zip, cut": (lambda: a_zip()[:-1], f"zip: {TRUNCATED}"),
    "zip, cut in a member": (lambda: a_zip()[:99], f"zip: {TRUNCATED}"),
    "zip, wrong CRC": (
        lambda: a_zip(zipfile.ZIP_STORED).replace(b"refused", b"allowed", 1),
        f"zip: 3 members, {CHECKSUM}",
    ),
    "zip, deflate cannot be decoded": (lambda: patched(a_zip(), 39, "<B", 7), f"zip: 3 members, {CORRUPT}"),
    "zip, no local header": (lambda: changed(a_zip(), 0, 1), f"zip: 3 members, {CORRUPT}"),
    "zip and something": (lambda: a_zip() + b"\r\n", f"zip: 3 members, {TRAILING}"),
    "7z, cut": (lambda: a_7z()[:-1], f"7z: {TRUNCATED}"),
    "7z, cut in its start": (lambda: a_7z()[:20], f"7z: {TRUNCATED}"),
    "7z, a start header that lies": (lambda: changed(a_7z(), 12), f"7z: {CORRUPT}"),
    "7z, a header that lies": (lambda: changed(a_7z(), -1), f"7z: {CORRUPT}"),
    "7z, a member that is damaged": (
        lambda: a_7z(filters=[{"id": FILTER_COPY}]).replace(b"refused", b"allowed", 1),
        f"7z: 3 members, {CHECKSUM}",
    ),
    "7z, a stream that cannot be decoded": (lambda: changed(a_7z(), 60), f"7z: 3 members, {CORRUPT}"),
    "7z and something": (lambda: a_7z() + b"\r\n", f"7z: 3 members, {TRAILING}"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, look: Look) -> None:
    make, words = DAMAGED[name]
    answer = look(make())
    assert (answer["words"], answer["verdict"]) == (words, "damaged")


FIRST_ENTRY = a_zip().index(b"PK\1\2")
BOMB = "unpacks to far more than its size, not checked"
UNCHECKED: dict[str, tuple[Callable[[], bytes], dict[str, float], str]] = {
    "one member encrypted": (
        lambda: patched(a_zip(), FIRST_ENTRY + 8, "<H", 1),
        {},
        "zip: 3 members, 1 encrypted, not checked",
    ),
    "a method of tomorrow": (
        lambda: patched(a_zip(), FIRST_ENTRY + 10, "<H", 77),
        {},
        "zip: 3 members, 1 compressed with method 77, not checked",
    ),
    "7z, encrypted": (lambda: a_7z(password="x"), {}, "7z: 3 members, encrypted, not checked"),
    "7z, encrypted with its names": (
        lambda: a_7z(password="x", header_encryption=True),
        {},
        "7z: encrypted, not checked",
    ),
    "zip of several parts": (
        lambda: patched(a_zip(), a_zip().rindex(b"PK\5\6") + 4, "<H", 3),
        {},
        "zip: one part of a split archive, not checked",
    ),
    "zip, the first of several parts": (
        lambda: b"PK\7\x08" + a_zip()[:99],
        {},
        "zip: one part of a split archive, not checked",
    ),
    "rar": (lambda: b"Rar!\x1a\x07\1\0" + bytes(99), {}, "rar: not checked; zip and gzip are"),
    "gzip bomb": (lambda: gzip.compress(ZEROS), {"harmless": MIB, "ratio": 100}, f"gzip: {BOMB}"),
    "zstd bomb": (lambda: zstandard.compress(ZEROS), {"harmless": MIB, "ratio": 100}, f"zstd: {BOMB}"),
    "too much output": (lambda: gzip.compress(ZEROS), {"output": MIB}, f"gzip: {BOMB}"),
    "zip bomb": (lambda: zip_of(ZEROS), {"harmless": MIB, "ratio": 100}, f"zip: 1 member, {BOMB}"),
    "zip bomb of one member many times": (lambda: overlapping(), {}, f"zip: 40 members, {BOMB}"),
    "7z bomb": (lambda: seven_of(ZEROS), {"harmless": MIB, "ratio": 100}, f"7z: 1 member, {BOMB}"),
    "too many members": (a_zip, {"members": 2}, "zip: 3 members, too many members, not checked"),
    "too many members in a tar": (
        lambda: gzip.compress(a_tar()),
        {"members": 2},
        "tar.gz: too many members, not checked",
    ),
    "no time": (lambda: gzip.compress(LOG), {"seconds": -1}, "gzip: too large to check in time"),
    "no time for a zip": (a_zip, {"seconds": -1}, "zip: 3 members, too large to check in time"),
    "no time for a 7z": (a_7z, {"seconds": -1}, "7z: too large to check in time"),
    "xz, large dictionary": (
        lambda: lzma.compress(LOG, preset=9),
        {"memory": MIB},
        "xz: takes too much memory to check, not checked",
    ),
    "zstd, large window": (
        lambda: zstandard.ZstdCompressor(compression_params=LONG).compressobj().compress(ZEROS)[:99],
        {"memory": MIB},
        "zstd: takes too much memory to check, not checked",
    ),
    "zip, large dictionary": (
        lambda: a_zip(zipfile.ZIP_LZMA),
        {"memory": MIB},
        "zip: 3 members, takes too much memory to check, not checked",
    ),
}
LONG = zstandard.ZstdCompressionParameters(window_log=27)


def zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("content", content)
    return buffer.getvalue()


def seven_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with SevenZipFile(buffer, "w") as archive:
        archive.writestr(content, "content")
    return buffer.getvalue()


def overlapping() -> bytes:
    """Forty entries of one local header (after D. Fifield, "A better zip bomb")."""
    once = zip_of(ZEROS)
    start, end = once.index(b"PK\1\2"), once.index(b"PK\5\6")
    entries = once[start:end] * 40
    return once[:start] + entries + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 40, 40, len(entries), start, 0)


@pytest.mark.parametrize("name", UNCHECKED)
def test_not_checked_is_named_and_never_called_intact(name: str, look: Look) -> None:
    make, bounds, words = UNCHECKED[name]
    answer = look(make(), **bounds)
    assert (answer["words"], answer["verdict"]) == (words, "unchecked")


@pytest.mark.parametrize(
    "command, words",
    [
        ("zip -qrPx out.zip .", "zip: 3 members, encrypted, not checked"),
        ("7z a -tzip -px -mem=AES256 out.zip .", "zip: 3 members, encrypted, not checked"),
        ("7z a -tzip -mm=deflate64 out.zip .", "zip: 3 members, 1 compressed with deflate64, not checked"),
        ("7z a -tzip -mm=ppmd out.zip .", "zip: 3 members, 1 compressed with PPMd, not checked"),
        ("7z a -tzip -mm=lzma out.zip .", "zip: 3 members, intact"),
        ("7z a -mhe -px out.7z .", "7z: encrypted, not checked"),
        ("7z a -px out.7z .", "7z: 3 members, encrypted, not checked"),
        ("7z a out.7z .", "7z: 3 members, intact"),
        ("7z a -ms=off out.7z .", "7z: 3 members, intact"),
        ("7z a -m0=ppmd out.7z .", "7z: 3 members, intact"),
        ("7z a -m0=bzip2 out.7z .", "7z: 3 members, intact"),
        ("7z a -m0=deflate out.7z .", "7z: 3 members, intact"),
        ("7z a -m0=bcj -m1=lzma out.7z .", "7z: 3 members, intact"),
        (
            "7z a -m0=bcj2 -m1=lzma -m2=lzma -m3=lzma -mb0:1 -mb0s1:2 -mb0s2:3 out.7z .",
            "7z: 3 members, compressed with BCJ2, not checked",
        ),
    ],
)
def test_archives_of_other_programs(command: str, words: str, folder: Path, look: Look) -> None:
    program, *arguments = command.split()
    out = next(word for word in arguments if word.startswith("out"))
    assert look(by_program(program, *arguments, out=out, folder=folder))["words"] == words


@pytest.mark.parametrize("format", ["oldgnu", "gnu", "posix"])
def test_a_sparse_file_in_a_tar_is_passed_over(format: str, tmp_path: Path, look: Look) -> None:
    folder = folder_of({"after": LOG}, tmp_path / "in")
    with open(folder / "a sparse file", "wb") as file:
        for number in range(30):
            file.seek(number << 20)
            file.write(b"x" * 5000)
    packed = by_program("tar", "-cS", f"--format={format}", ".", folder=folder)
    assert look(packed)["words"] == "tar: 3 members, not compressed: please use zip or gzip"
    assert look(gzip.compress(packed, 1))["words"] == "tar.gz: 3 members, intact"


@pytest.mark.parametrize("content, words", [(b"", "empty file"), (b"x", None), (LOG * 99, None), (bytes(9999), None)])
def test_what_is_not_compressed_is_told_so(content: bytes, words: str | None, look: Look) -> None:
    answer = look(content)
    assert answer["words"] == (words or "not compressed: please use zip or gzip")
    assert answer["verdict"] == ("not-compressed" if content else "empty")


def test_a_zip_over_4_gib_of_a_writer_without_zip64(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and positions modulo 4 GiB, as some archivers on macOS write them; here, modulo 128 bytes."""
    wrap = 128
    monkeypatch.setattr(directory, "WRAP", wrap)
    monkeypatch.setattr(zip, "WRAP", wrap)
    content = a_zip(streamed=True)
    position = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    content = patched(content, end + 16, "<L", position % wrap)
    while position < end:
        fields = struct.unpack_from("<2L", content, position + 20)
        offset, lengths = (
            struct.unpack_from("<L", content, position + 42)[0],
            struct.unpack_from("<3H", content, position + 28),
        )
        content = patched(content, position + 20, "<2L", *(field % wrap for field in fields))
        content = patched(content, position + 42, "<L", offset % wrap)
        position += 46 + sum(lengths)
    assert look(content)["words"] == "zip: 3 members, intact"


def test_the_disk_is_not_the_customers_fault(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        inspect(str(tmp_path / "nothing here"))
    with pytest.raises(IsADirectoryError):
        inspect(str(tmp_path))


def test_a_look_leaves_no_descriptor_open(look: Look) -> None:
    before = os.listdir("/proc/self/fd")
    for make in (a_zip, a_7z, lambda: a_7z()[:-1], lambda: a_7z(password="x"), a_tar):
        look(make())
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_one_byte_at_a_time(format: int) -> None:
    tar = Tar()
    for byte in a_tar(format):
        tar.feed(bytes([byte]))
    assert (tar.is_tar, tar.members, tar.end_blocks, tar.is_cut) == (True, 3, 2, False)


@pytest.mark.parametrize("packed", [gzip.compress(LOG), bz2.compress(LOG), lzma.compress(LOG), zstandard.compress(LOG)])
def test_a_stream_one_byte_at_a_time(packed: bytes) -> None:
    (codec,) = (codec for codec in CODECS if codec.begins(packed))
    decoder, decoded = codec.decoder(MIB * 16), b""
    for byte in packed:
        assert not decoder.eof
        decoded += drained(decoder, bytes([byte]))
    assert (decoder.eof, decoder.unused_data, decoded) == (True, b"", LOG)


def drained(decoder: Decoder, data: bytes) -> bytes:
    decoded = decoder.decompress(data, MIB)
    while not (decoder.eof or decoder.needs_input):
        decoded += decoder.decompress(b"", MIB)
    return decoded


def test_inflate_gives_no_more_than_asked_and_all_of_it() -> None:
    """Raw deflate has nothing behind its last byte: all input may be taken while much is still to come out."""
    deflate = zlib.compressobj(wbits=RAW_DEFLATE)
    inflate, decoded = Inflate(RAW_DEFLATE), b""
    packed = memoryview(deflate.compress(ZEROS) + deflate.flush())
    while not inflate.eof:
        data, packed = (packed[:1], packed[1:]) if inflate.needs_input else (packed[:0], packed)
        assert data or not inflate.needs_input, "it wants more than there is"
        piece = inflate.decompress(bytes(data), 100)
        assert len(piece) <= 100
        decoded += piece
    assert decoded == ZEROS


def test_a_pax_header_gives_the_size_that_the_old_header_cannot(look: Look) -> None:
    """As for members over 8 GiB."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("large")
        member.size, member.pax_headers = len(LOG), {"comment": "size=7", "size": str(len(LOG))}
        archive.addfile(member, io.BytesIO(LOG))
        archive.addfile(tarfile.TarInfo("after"))
    content = bytearray(buffer.getvalue())
    header = content[1024:1536]
    header[124:136], header[148:156] = b"0" * 11 + b"\0", b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[1024:1536] = header
    assert look(bytes(content))["words"] == "tar: 2 members, not compressed: please use zip or gzip"
