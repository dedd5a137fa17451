"""No beginning of an archive may be taken for a whole one, wherever it was cut."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import struct
import zipfile
from pathlib import Path

import pytest
import zstandard
from archives import CONTENT, LOG, SEVERAL, SINGLE, a_7z, a_tar, a_zip, bgzf, folder_of, skippable, zip_in_zip

from gateway.domain.findings import Verdict
from gateway.examine.archive import Bounds, inspect, proof, proves_itself
from gateway.examine.archive.formats import examine
from gateway.examine.archive.proofs import TAIL, may_end

BOUNDS = Bounds(seconds=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(CONTENT, tmp_path_factory.mktemp("content") / "in")


def is_whole(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    return proves_itself(path, len(content), BOUNDS).complete


@pytest.mark.parametrize("name", SINGLE)
def test_the_whole_proves_itself_and_no_beginning_does_nor_is_called_intact(
    name: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    content = SINGLE[name](folder)
    assert is_whole(path, content)
    assert examine(path, BOUNDS).verdict in (Verdict.INTACT, Verdict.UNCHECKED)
    for size in range(len(content) - 1, -1, -1):
        os.truncate(path, size)
        assert not proves_itself(path, size, BOUNDS).complete, f"the first {size} of {len(content)} bytes"
        assert examine(path, BOUNDS).verdict is not Verdict.INTACT, f"the first {size} of {len(content)} bytes"


@pytest.mark.parametrize("name", SINGLE)
def test_more_bytes_than_the_archive_prove_nothing(name: str, folder: Path, tmp_path: Path) -> None:
    content = SINGLE[name](folder)
    for more in (b"\0", b"\0" * 4, b"x", b"\n", content[:40], content):
        assert not is_whole(tmp_path / "file", content + more)


@pytest.mark.parametrize("name", SEVERAL)
def test_several_streams_prove_nothing(name: str, folder: Path, tmp_path: Path) -> None:
    content = SEVERAL[name](folder)
    assert not is_whole(tmp_path / "file", content)
    assert inspect(str(tmp_path / "file"))["verdict"] == "intact"


@pytest.mark.parametrize("name", SEVERAL)
def test_no_beginning_of_several_streams_proves_itself_but_exactly_the_first(
    name: str, folder: Path, tmp_path: Path
) -> None:
    """A file cut exactly where its second stream begins looks like one of a single stream; nothing can tell."""
    content = SEVERAL[name](folder)
    proved = [size for size in range(len(content)) if is_whole(tmp_path / "file", content[:size])]
    first = {"gzip": len(gzip.compress(LOG)), "bzip2": len(bz2.compress(LOG)), "xz": len(lzma.compress(LOG))}
    first["zstd"] = len(zstandard.compress(LOG))
    assert proved == ([first[name]] if name in first else [])


def test_the_first_stream_of_a_tar_in_several_does_not_prove_itself(tmp_path: Path) -> None:
    tar = a_tar()
    for compress in (gzip.compress, bz2.compress, lzma.compress, zstandard.compress):
        assert not is_whole(tmp_path / "file", compress(tar[:2048]))
        assert not is_whole(tmp_path / "file", compress(a_tar(end=b"")))
        assert not is_whole(tmp_path / "file", compress(a_tar(end=bytes(512))))
        assert is_whole(tmp_path / "file", compress(tar))


def test_the_first_stream_of_programs_that_write_several_does_not_prove_itself(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "bgzip", bgzf(LOG))
    assert not is_whole(tmp_path / "pbzip2", bz2.compress(bytes(900_000)))
    assert not is_whole(tmp_path / "pzstd", skippable(b"1234") + zstandard.compress(LOG))
    assert not is_whole(tmp_path / "nothing but skipped", skippable(b"1234"))


def test_a_zip_that_is_cut_behind_a_stored_zip_is_truncated(tmp_path: Path) -> None:
    inner = a_zip(comment=b"inner")
    for outer in (zip_in_zip(inner), zip_in_zip(zip_in_zip(inner))):
        cut = outer[: outer.rindex(inner) + len(inner)]
        assert not is_whole(tmp_path / "file", cut)
        assert inspect(str(tmp_path / "file"))["words"] == "zip: truncated, please send again"


def test_a_self_extracting_zip_proves_nothing_and_is_inspected(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "file", b"MZ" + bytes(1000) + a_zip())
    assert inspect(str(tmp_path / "file"))["words"] == "zip: 3 members, intact"


def test_a_zip_whose_directory_lies_proves_nothing(tmp_path: Path) -> None:
    whole = bytearray(a_zip())
    end = whole.rindex(b"PK\5\6")
    for at in (end + 8, end + 10, end + 12, end + 16, whole.index(b"PK\1\2") + 42, whole.index(b"PK\3\4")):
        lying = bytearray(whole)
        lying[at] ^= 1
        assert not is_whole(tmp_path / "file", bytes(lying)), at
    for count in (2, 4):
        assert not is_whole(
            tmp_path / "file", bytes(whole[: end + 8]) + bytes([count, 0] * 2) + bytes(whole[end + 12 :])
        )


def test_a_zip_that_leaves_the_first_bytes_to_something_else_proves_nothing(tmp_path: Path) -> None:
    before, whole = b"PK\3\4" + bytes(60), bytearray(a_zip())
    at, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    struct.pack_into("<L", whole, end + 16, at + len(before))
    while at < end:
        (offset,), lengths = struct.unpack_from("<L", whole, at + 42), struct.unpack_from("<3H", whole, at + 28)
        struct.pack_into("<L", whole, at + 42, offset + len(before))
        at += 46 + sum(lengths)
    assert not is_whole(tmp_path / "file", before + bytes(whole))
    assert inspect(str(tmp_path / "file"))["words"] == "zip: 3 members, intact"


def test_a_7z_whose_headers_lie_proves_nothing(tmp_path: Path) -> None:
    whole = bytearray(a_7z())
    for at in (*range(8, 32), len(whole) - 1):
        lying = bytearray(whole)
        lying[at] ^= 1
        assert not is_whole(tmp_path / "file", bytes(lying)), at


@pytest.mark.parametrize("content", [b"", b"P", b"PK\3\4", b"\x1f\x8b", b"7z", b"plain text\n" * 100, a_tar()])
def test_what_shows_no_end_proves_nothing(content: bytes, tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "file", content)


def test_a_file_of_another_size_than_arrived_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(a_zip())
    assert not proves_itself(tmp_path / "file", len(a_zip()) - 1).complete


def test_a_proof_that_takes_too_long_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(LOG))
    proved = proves_itself(tmp_path / "file", len(gzip.compress(LOG)), Bounds(seconds=-1))
    assert (proved.complete, proved.how.split(":")[0]) == (False, "time")


def test_a_proof_that_decoded_everything_says_what_is_inside(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(a_tar()))
    answer = proof(str(tmp_path / "file"), len(gzip.compress(a_tar())), seconds=60)
    assert answer["complete"]
    assert answer["finding"]["words"] == "tar.gz: 3 members, intact"


def test_a_large_zip_cut_at_every_structure_does_not_prove_itself(tmp_path: Path) -> None:
    """More members than 65,535, so that the zip64 end record counts them; cut at each kind of record and near it."""
    path = tmp_path / "file"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(65_600):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    content = path.read_bytes()
    assert inspect(str(path))["words"] == "zip: 65,600 members, intact"
    assert is_whole(path, content)
    marks = [content.rindex(b"PK" + record) for record in (b"\3\4", b"\1\2", b"\6\6", b"\6\7", b"\5\6")]
    for size in sorted(
        {mark + near for mark in marks for near in range(-2, 23) if mark + near < len(content)}, reverse=True
    ):
        os.truncate(path, size)
        assert not proves_itself(path, size, BOUNDS).complete


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress, None])
def test_large_archives_cut_anywhere_do_not_prove_themselves(compress, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    chance = random.Random(7)
    noise = chance.randbytes(150_000) + LOG * 100
    if compress:
        content = compress(noise)
    else:
        with zipfile.ZipFile(tmp_path / "made", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("noise", noise)
        content = (tmp_path / "made").read_bytes()
    assert is_whole(tmp_path / "file", content)
    for size in (*(chance.randrange(len(content)) for _ in range(20)), len(content) - 1, 131_072, 65_536):
        assert not is_whole(tmp_path / "file", content[:size])


@pytest.mark.parametrize("seed", range(40))
def test_the_quick_look_at_the_end_denies_no_whole_stream(seed: int) -> None:
    content = random.Random(seed).randbytes(seed * 3)
    assert may_end("bzip2", bz2.compress(content)[-TAIL:])
    assert may_end("xz", lzma.compress(content)[-TAIL:])
    assert not may_end("bzip2", bz2.compress(content)[-TAIL - 1 : -1])
    assert not may_end("xz", lzma.compress(content)[-TAIL - 1 : -1])
