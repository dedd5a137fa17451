"""The quirks of docs/quirks.md: that the libraries have them, and that a look inside does not.

A test that fails in its first half is good news: the library has mended something, and the table wants a line less.
"""

from __future__ import annotations

import binascii
import re
from pathlib import Path
from typing import Any

import mailparser
import pytest

from gateway.examine.mail import transfer, words
from gateway.examine.mail.look import look
from tests.unit.mails import HEAD, JA_7, PDF, PNG, b64, mime, multipart

ROOT = Path(__file__).parents[2]


def looked(raw: bytes, directory: Path) -> dict[str, Any]:
    directory.mkdir()
    return look(raw, str(directory))


def test_pitfall_8_mail_parser_leaves_iso_2022_jp_undecoded(tmp_path: Path) -> None:
    raw = HEAD + mime("text/plain; charset=iso-2022-jp", JA_7.encode("iso-2022-jp"))
    parsed = mailparser.parse_from_bytes(raw)
    assert "\x1b$B" in parsed.text_plain[0]
    assert not parsed.has_defects
    answer = looked(raw, tmp_path / "out")
    assert answer["text"] == JA_7.replace("\r\n", "\n")
    assert answer["reader"] == "standard-library"


def test_python_cannot_read_iso_2022_jp_as_mailers_write_it() -> None:
    written = b"\x1b$B-!>c32\x1b(B \x1b(I139\x1b(B"
    with pytest.raises(UnicodeDecodeError):
        written.decode("iso-2022-jp")
    assert words.read(written, "plain", "iso-2022-jp") == words.Words("①障害 ｱｳｹ", "charsets", repaired=False)


def test_both_believe_a_wrong_label() -> None:
    content = "Grüße".encode()
    assert words._mail_parser(content, "plain", "iso-8859-1") == "GrÃ¼Ã\x9fe"
    assert words._standard_library(content, "plain", "iso-8859-1") == "GrÃ¼Ã\x9fe"
    assert words.read(content, "plain", "iso-8859-1") == words.Words("Grüße", "charsets", repaired=True)


@pytest.mark.parametrize(
    "label, superset, text",
    [("shift_jis", "cp932", "①㈱髙"), ("gb2312", "gb18030", "朱镕基 €"), ("ks_c_5601-1987", "cp949", "똠방각하")],
)
def test_narrow_charsets_lose_characters(label: str, superset: str, text: str) -> None:
    content = text.encode(superset)
    with pytest.raises(UnicodeDecodeError):
        content.decode(label)
    assert words.read(content, "plain", label).text == text


def test_pitfall_9_mail_parser_reads_attached_messages_as_body(tmp_path: Path) -> None:
    attached = mime("message/rfc822", b"From: eve@example.net\r\n\r\nNot my words\r\n")
    raw = HEAD + multipart("multipart/mixed", "x", mime("text/plain", b"My words\r\n"), attached)
    assert any("Not my words" in text for text in mailparser.parse_from_bytes(raw).text_plain)
    answer = looked(raw, tmp_path / "out")
    assert answer["text"] == "My words\n"
    assert [each["kind"] for each in answer["attachments"]] == ["message"]


def test_pitfall_9_mail_parser_loses_unnamed_parts(tmp_path: Path) -> None:
    parts = [
        mime(kind, b64(data), "Content-Transfer-Encoding: base64")
        for kind, data in (("image/png", PNG), ("application/pdf", PDF))
    ]
    raw = HEAD + multipart("multipart/mixed", "x", mime("text/plain", b"Words\r\n"), *parts)
    assert mailparser.parse_from_bytes(raw).attachments == []
    assert [each["size"] for each in looked(raw, tmp_path / "out")["attachments"]] == [len(PNG), len(PDF)]


def test_base64_decoders_stop_at_the_first_padding() -> None:
    pieces = b"YQ==\r\nYg==\r\n"
    assert binascii.a2b_base64(pieces) == b"a"
    assert transfer.decode(pieces, "base64") == transfer.Content(b"ab")


def test_every_quirk_names_a_test_that_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/quirks.md").read_text(encoding="utf-8"))
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) >= 12
    assert [test for test in named if not re.search(rf"def {test}\b", tests)] == []


def test_a_multipart_within_another_of_the_same_boundary_hides_nothing(tmp_path: Path) -> None:
    """Outlook Express for Mac writes that: the inner one's end is the outer one's, and more comes behind it."""
    raw = HEAD + (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nthe words\r\n"
        b"--b--\r\n\r\n"
        b"--b\r\nContent-Type: application/zip; name=logs.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsFBg==\r\n"
        b"--b--\r\nan epilogue that is nobody's\r\n"
    )
    answer = looked(raw, tmp_path / "out")
    assert answer["text"].strip() == "the words"
    (attachment,) = answer["attachments"]
    assert (attachment["name"], attachment["size"]) == ("logs.zip", 4)
    assert "broken-structure" in answer["marks"]


@pytest.mark.parametrize("size", range(1, 47))
def test_uuencoded_lines_that_are_filled_up_with_anything_are_read(size: int) -> None:
    """binascii calls that trailing garbage, and the whole file would stay undecoded."""
    data = bytes(range(200, 200 + size))
    line = binascii.b2a_uu(data[:45]).decode().rstrip("\n")
    padding = -len(data[:45]) % 3
    filled = line[: len(line) - padding] + "M" * padding
    assert transfer._uu_line(filled) == data[:45]
