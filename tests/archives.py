"""Archives of every kind, made by real programs and libraries, small enough to be cut at every byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
import zstandard

Make = Callable[[Path], bytes]
"""Makes an archive; may use a directory that holds CONTENT as files."""

CONTENT = {
    "trace.log": "".join(f"{n:05} 12:00:{n % 60:02} sip: INVITE refused\n" for n in range(60)).encode(),
    "noise.bin": random.Random(1).randbytes(200),
    "empty": b"",
}


def seven(*options: str) -> Make:
    return lambda folder: by_program("7z", "a", *options, "out", ".", out="out", folder=folder)


def by_program(*command: str, out: str | None = None, folder: Path, stdin: bytes = b"") -> bytes:
    """What a program wrote to its standard output, or to the file `out`, which is beside the folder it packs."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    target = folder.parent / "out"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    arguments = [str(target / word) if word == out else word for word in command]
    done = subprocess.run(arguments, cwd=folder, input=stdin, capture_output=True, check=True)
    if out is None:
        return done.stdout
    (written,) = target.iterdir()
    return written.read_bytes()


def a_zip(
    method: int = zipfile.ZIP_DEFLATED, *, comment: bytes = b"", zip64: bool = False, streamed: bool = False
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(Unseekable(buffer) if streamed else buffer, "w", method) as archive:
        for name, content in CONTENT.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
        archive.comment = comment
    return buffer.getvalue()


class Unseekable(io.RawIOBase):
    """A pipe: what is written to it cannot be gone back to, so that a zip gets data descriptors."""

    def __init__(self, target: io.BytesIO) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._target.write(data)


def zip_in_zip(inner: bytes) -> bytes:
    """A whole zip, stored as the last member of another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("first", CONTENT["noise.bin"])
        archive.writestr("inner.zip", inner)
    return buffer.getvalue()


def empty_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def a_tar(format: int = tarfile.PAX_FORMAT, *, end: bytes = bytes(1024)) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(name if format == tarfile.USTAR_FORMAT else "long/" * 30 + name + "ü")
            member.size = len(content)
            member.mtime = 1.5 if format == tarfile.PAX_FORMAT else 1
            archive.addfile(member, io.BytesIO(content))
        size = archive.offset
    return buffer.getvalue()[:size] + end


def a_7z(**options: object) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in CONTENT.items():
            archive.writestr(content, name)
    return buffer.getvalue()


LOG = CONTENT["trace.log"]

SINGLE: dict[str, Make] = {
    "zip, stored": lambda _: a_zip(zipfile.ZIP_STORED),
    "zip, deflated": lambda _: a_zip(),
    "zip, bzip2": lambda _: a_zip(zipfile.ZIP_BZIP2),
    "zip, lzma": lambda _: a_zip(zipfile.ZIP_LZMA),
    "zip, streamed": lambda _: a_zip(streamed=True),
    "zip, zip64 sizes": lambda _: a_zip(zip64=True),
    "zip, with a comment": lambda _: a_zip(comment=b"sent by PK\5\6 and others"),
    "zip, with a whole zip in its comment": lambda _: a_zip(comment=a_zip(zipfile.ZIP_STORED)),
    "zip, with a zip stored last": lambda _: zip_in_zip(a_zip(comment=b"inner")),
    "zip, with a zip in a zip stored last": lambda _: zip_in_zip(zip_in_zip(a_zip())),
    "zip, empty": lambda _: empty_zip(),
    "zip by zip": lambda folder: by_program("zip", "-qr", "out.zip", ".", out="out.zip", folder=folder),
    "zip by zip, zip64 throughout": lambda folder: by_program(
        "zip", "-qr", "-fz", "out.zip", ".", out="out.zip", folder=folder
    ),
    "zip by zip, from a pipe": lambda folder: by_program("zip", "-q", "-", "-", folder=folder, stdin=LOG),
    "zip by zip, encrypted": lambda folder: by_program("zip", "-qrPx", "out.zip", ".", out="out.zip", folder=folder),
    "zip by 7z, deflate64": seven("-tzip", "-mm=deflate64"),
    "zip by 7z, lzma": seven("-tzip", "-mm=lzma"),
    "zip by 7z, AES": seven("-tzip", "-px", "-mem=AES256"),
    "gzip": lambda _: gzip.compress(LOG),
    "gzip, of nothing": lambda _: gzip.compress(b""),
    "gzip by gzip": lambda folder: by_program("gzip", "-c", "trace.log", folder=folder),
    "tar.gz": lambda _: gzip.compress(a_tar()),
    "bzip2": lambda _: bz2.compress(LOG),
    "bzip2 by bzip2": lambda folder: by_program("bzip2", "-c", "noise.bin", folder=folder),
    "tar.bz2": lambda _: bz2.compress(a_tar(tarfile.GNU_FORMAT)),
    "xz": lambda _: lzma.compress(LOG),
    "xz, without checksum": lambda _: lzma.compress(LOG, check=lzma.CHECK_NONE),
    "xz by xz, in blocks": lambda folder: by_program("xz", "-c", "--block-size=500", "trace.log", folder=folder),
    "tar.xz": lambda _: lzma.compress(a_tar(tarfile.USTAR_FORMAT)),
    "zstd": lambda _: zstandard.ZstdCompressor(write_checksum=True).compress(LOG),
    "zstd, without checksum or size": lambda _: zstandard.ZstdCompressor(write_content_size=False).compress(LOG),
    "zstd by zstd": lambda folder: by_program("zstd", "-qc", "trace.log", folder=folder),
    "zstd by zstd, from a pipe": lambda folder: by_program("zstd", "-qc", folder=folder, stdin=LOG),
    "tar.zst": lambda _: zstandard.ZstdCompressor().compress(a_tar()),
    "7z": lambda _: a_7z(),
    "7z, encrypted": lambda _: a_7z(password="x"),
    "7z, encrypted with its names": lambda _: a_7z(password="x", header_encryption=True),
    "7z by 7z": seven(),
    "7z by 7z, not solid": seven("-ms=off"),
    "7z by 7z, stored": seven("-mx=0"),
}
"""Archives that are whole if they are whole: no beginning of one is one."""

CHUNK = LOG * 3
SEVERAL: dict[str, Make] = {
    "gzip": lambda _: gzip.compress(LOG) + gzip.compress(LOG) + gzip.compress(b"end"),
    "gzip by bgzip": lambda _: bgzf(LOG) + bgzf(CONTENT["noise.bin"]) + bgzf(b""),
    "bzip2": lambda _: bz2.compress(LOG) + bz2.compress(LOG),
    "xz": lambda _: lzma.compress(LOG) + bytes(4) + lzma.compress(LOG),
    "zstd": lambda _: zstandard.compress(LOG) + zstandard.compress(LOG),
    "zstd by pzstd": lambda _: skippable(b"1234") + zstandard.compress(LOG) + skippable(b"") + zstandard.compress(LOG),
}
"""Archives of which the whole proves nothing, for it could be the beginning of a longer one."""


def bgzf(content: bytes) -> bytes:
    """A member as bgzip and htslib write them: their length in an extra field."""
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(content) + deflate.flush()
    extra = struct.pack("<2sHH", b"BC", 2, 12 + 6 + len(body) + 8 - 1)
    header = b"\x1f\x8b\x08\x04" + bytes(4) + b"\0\xff" + struct.pack("<H", len(extra)) + extra
    return header + body + struct.pack("<LL", zlib.crc32(content), len(content))


def skippable(content: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + struct.pack("<L", len(content)) + content


def folder_of(content: dict[str, bytes], path: Path) -> Path:
    """A directory that holds CONTENT as files."""
    path.mkdir()
    for name, data in content.items():
        (path / name).write_bytes(data)
    return path
