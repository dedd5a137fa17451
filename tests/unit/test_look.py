"""A look inside the corpus of ``mails.py``: words, attachments byte for byte, marks; and that nothing breaks it."""

from __future__ import annotations

import base64
import email.policy
import json
import os
import random
import time
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from gateway.domain.headers import split
from gateway.domain.plain_text import plain_text
from gateway.examine.mail import ANSWER_MOST, inspect, transfer, words
from gateway.examine.mail.cms import signed_content
from gateway.examine.mail.look import LONGEST_TEXT, look
from gateway.examine.worker import Crew, Limits
from tests.unit.mails import CHARSETS, EXAMPLES, HEAD, LOG, PDF, Example, attached, mime, multipart

NAMES = [example.name for example in EXAMPLES]


def looked(raw: bytes, directory: Path) -> dict[str, Any]:
    """Look, and check what holds of every answer: JSON, files that are what the answer says, nothing outside."""
    directory.mkdir()
    answer = look(raw, str(directory))
    json.dumps(answer).encode()
    json.dumps(answer, ensure_ascii=False).encode("utf-8")
    assert sorted(os.listdir(directory)) == [each["file"] for each in answer["attachments"]]
    for each in answer["attachments"]:
        assert (directory / each["file"]).stat().st_size == each["size"]
        assert each["name"]
        assert "\0" not in each["name"] + (each["original"] or "")
    assert "\0" not in (answer["text"] or "")
    return answer


def files(answer: dict[str, Any], directory: Path) -> list[tuple[str, str, bytes]]:
    return [(each["name"], each["kind"], (directory / each["file"]).read_bytes()) for each in answer["attachments"]]


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_what_is_inside(example: Example, tmp_path: Path) -> None:
    answer = looked(example.raw, tmp_path / "out")
    expected = example.text and example.text.replace("\r\n", "\n").strip()
    assert (answer["text"] and answer["text"].strip()) == expected
    assert files(answer, tmp_path / "out") == example.attachments
    assert set(answer["marks"]) == example.marks


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_what_the_door_reads_of_a_simple_mail_is_what_the_look_reads(example: Example, tmp_path: Path) -> None:
    headers = split(example.raw)
    simple = plain_text(headers, example.raw[headers.body_at :])
    if simple is not None:
        answer = looked(example.raw, tmp_path / "out")
        assert simple == (answer["text"] or simple)
        assert not answer["attachments"]
        assert set(answer["marks"]) <= {"no-text"}


def test_simple_mails_are_read_at_the_door() -> None:
    for head in (b"", b"Content-Type: text/plain\r\n", b"Content-Type: text/plain; charset=UTF-8; format=flowed\r\n"):
        headers = split(b"From: a@example.com\r\n" + head + b"\r\n")
        assert plain_text(headers, "Grüße\r\n".encode()) == "Grüße\n"


@pytest.mark.parametrize(
    "head, body",
    [
        (b"Content-Type: text/html\r\n", b"x"),
        (b"Content-Type: multipart/mixed; boundary=x\r\n", b"x"),
        (b"Content-Type: text/plain; name=a.txt\r\n", b"x"),
        (b"Content-Disposition: attachment\r\n", b"x"),
        (b"Content-Transfer-Encoding: base64\r\n", b"eA=="),
        (b"Content-Type: text/plain; charset=iso-2022-jp\r\n", b"x"),
        (b"Content-Type: text/plain; charset=us-ascii\r\n", b"\xc3\xbc"),
        (b"", b"\x1b$B!!\x1b(B"),
        (b"", b"\xff"),
        (b"", b"a\0b"),
        (b"", b"begin 644 a.txt\r\n"),
        (b"", b"-----BEGIN PGP MESSAGE-----\r\n"),
        (b"", b"x" * 70_000),
        (b"no field\r\n", b"x"),
    ],
)
def test_what_is_not_simple_is_left_to_the_look(head: bytes, body: bytes) -> None:
    assert plain_text(split(b"From: a@example.com\r\n" + head + b"\r\n"), body) is None


def test_mail_parser_is_the_first_reader(tmp_path: Path) -> None:
    readers = [looked(example.raw, tmp_path / str(number))["reader"] for number, example in enumerate(CHARSETS)]
    assert readers.count("mail-parser") > len(readers) / 3
    assert "standard-library" in readers
    assert "charsets" in readers


def test_inspect_reads_the_file_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mail").write_bytes(HEAD + b"\r\nHello\r\n")
    assert inspect(str(tmp_path / "mail"), str(tmp_path / "out"))["text"] == "Hello\n"


def test_what_python_writes_is_read_back(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "SR# 12345"
    message.set_content("Grüße\n" * 50)
    message.add_alternative("<p>Grüße</p>", subtype="html")
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename="größe 日本.pdf")
    answer = looked(message.as_bytes(), tmp_path / "out")
    assert answer["text"] == "Grüße\n" * 50
    assert files(answer, tmp_path / "out") == [("größe 日本.pdf", "attachment", PDF)]


WORDS = {"utf-8": "Grüße, ログ, журнал", "iso-2022-jp": "障害のログ", "gb18030": "日志文件", "koi8-r": "Журнал событий"}


@pytest.mark.parametrize("seed", range(15))
def test_any_mail_that_python_writes_is_read_back(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    charset = chance.choice(list(WORDS))
    text = "".join(f"{WORDS[charset]} {number}\n" for number in range(chance.randrange(1, 40)))
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "SR# 12345"
    message.set_content(text, charset=charset, cte=chance.choice(["base64", "quoted-printable"]))
    if chance.random() < 0.5:
        message.add_alternative(f"<p>{WORDS[charset]}</p>", subtype="html", charset=charset)
    expected = []
    for number in range(chance.randrange(6)):
        name = f"{chance.choice(list(WORDS.values()))} {number}.log"
        data = chance.randbytes(chance.randrange(3_000))
        if chance.random() < 0.5:
            kind = chance.choice(["attachment", "inline"])
            message.add_attachment(data, "application", "x-log", filename=name, disposition=kind)
        else:
            kind, inner = "message", EmailMessage(policy=email.policy.SMTP)
            inner.set_content("Not the words\n")
            data = inner.as_bytes()
            message.add_attachment(inner, filename=name)
        expected.append((name, kind, data))
    answer = looked(message.as_bytes(), tmp_path / "out")
    assert answer["text"].rstrip("\n") == text.rstrip("\n")
    assert files(answer, tmp_path / "out") == expected
    assert set(answer["marks"]) <= {"attached-message"}


HOSTILE_NAMES = [
    ("..\\..\\windows\\system32\\a.dll", "a.dll"),
    ("../../etc/passwd", "passwd"),
    ("/etc/passwd", "passwd"),
    ("C:\\Users\\ann\\trace.log", "trace.log"),
    ("..", "attachment-1.bin"),
    ("CON", "_CON"),
    ("con.txt", "_con.txt"),
    ("LPT1.log", "_LPT1.log"),
    ("a\u202etxt.exe", "atxt.exe"),
    ("a\u200bb.txt", "ab.txt"),
    ("a<b>:c|d?.txt", "a_b__c_d_.txt"),
    ("  .hidden. ", "hidden"),
    ("x" * 300 + ".log", "x" * 173 + "….log"),
    ("日" * 300 + ".tar.gz", "日" * 56 + "….tar.gz"),
]


@pytest.mark.parametrize("name, shown", HOSTILE_NAMES, ids=[ascii(name[:30]) for name, _ in HOSTILE_NAMES])
def test_pitfall_18_file_names_are_metadata_never_paths(name: str, shown: str, tmp_path: Path) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    raw = HEAD + mime("application/octet-stream", b"x", f"Content-Disposition: attachment; filename*=utf-8''{encoded}")
    answer = looked(raw, tmp_path / "out")
    assert answer["attachments"][0]["name"] == shown
    assert answer["attachments"][0]["original"] == name[:1000]
    assert os.listdir(tmp_path) == ["out"]


def test_pitfall_18_nul_and_line_ends_in_a_name_are_escapes(tmp_path: Path) -> None:
    raw = HEAD + mime(
        "application/octet-stream", b"x", "Content-Disposition: attachment; filename*=utf-8''a%00b%0D%0Ac.txt"
    )
    answer = looked(raw, tmp_path / "out")
    assert answer["attachments"][0]["name"] == "abc.txt"
    assert answer["attachments"][0]["original"] == "a\\x00b\\r\\nc.txt"


def test_pitfall_18_names_that_differ_in_case_alone_are_numbered(tmp_path: Path) -> None:
    parts = [attached("text/plain", name, name.encode()) for name in ("a.log", "A.LOG", "a.log", "a (2).log")]
    answer = looked(HEAD + multipart("multipart/mixed", "x", *parts), tmp_path / "out")
    assert [each["name"] for each in answer["attachments"]] == ["a.log", "A (2).LOG", "a (3).log", "a (2) (2).log"]


@pytest.mark.parametrize(
    "body, data, damaged",
    [
        (base64.b64encode(PDF), PDF, False),
        (b"YQ==\r\nYg==\r\nYw==\r\n", b"abc", False),
        (base64.b64encode(PDF[:-1]).rstrip(b"="), PDF[:-1], True),
        (b"YWJjZGU=Zg", b"abcdef", True),
        (b"YWJjZG=l", b"abcd", True),
        (b"YWJj!ZGVm" + b"YWJj" * 9, b"abcdef" + b"abc" * 9, True),
        (b"This is no base64 at all, but words.", b"This is no base64 at all, but words.", True),
        (b"", b"", False),
    ],
)
def test_base64_as_it_comes(body: bytes, data: bytes, damaged: bool, tmp_path: Path) -> None:
    raw = HEAD + mime("application/pdf", body, "Content-Transfer-Encoding: base64")
    answer = looked(raw, tmp_path / "out")
    assert files(answer, tmp_path / "out")[0][2] == data
    assert answer["attachments"][0]["damaged"] is damaged
    assert ("damaged-encoding" in answer["marks"]) is damaged


@pytest.mark.parametrize("named", ['"base64"', "(binary) BASE64", "'base64';", " base64 (RFC 2045)", "base64; x=y"])
def test_a_transfer_encoding_that_is_quoted_or_commented_on_is_read(named: str, tmp_path: Path) -> None:
    raw = HEAD + mime("application/pdf", base64.b64encode(PDF), f"Content-Transfer-Encoding: {named}")
    answer = looked(raw, tmp_path / "out")
    assert files(answer, tmp_path / "out")[0][2] == PDF


def test_a_body_too_long_to_show_is_attached_whole(tmp_path: Path) -> None:
    body = b"one line of a log\r\n" * 100_000
    answer = looked(HEAD + b"\r\n" + body, tmp_path / "out")
    assert len(answer["text"]) <= LONGEST_TEXT
    assert answer["marks"] == ["truncated-body"]
    assert files(answer, tmp_path / "out") == [("text-1.txt", "text", body)]


def nested(depth: int) -> bytes:
    opened = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    return opened + b"\r\nHello\r\n" + b"".join(b"--b%d--\r\n" % n for n in reversed(range(depth)))


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HOSTILE = {
    "2,000 deep": (HEAD + nested(2_000), "too-deep"),
    "messages 2,000 deep": (HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 2_000, "attached-message"),
    "100,000 parts": (HEAD + MIXED + b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--\r\n", "too-many-parts"),
    "100,000 attachments": (
        HEAD + MIXED + b"--b\r\nContent-Type: image/png; name=a\r\n\r\nx\r\n" * 100_000,
        "too-many-parts",
    ),
    "500,000 empty parts": (HEAD + MIXED + b"--b\r\n" * 500_000, "too-many-parts"),
    "header of a megabyte": (HEAD + b"X: " + b"y" * 1_000_000 + b"\r\n\r\nhi\r\n", None),
    "header of 250,000 lines": (HEAD + b"X:y\r\n" * 250_000 + b"\r\nhi\r\n", "broken-header"),
    "semicolons in quotes": (HEAD + b'Content-Type: text/plain; a="' + b";" * 1_000_000 + b"\r\n\r\nhi\r\n", None),
    "parameters without end": (HEAD + b"Content-Type: text/plain" + b';a="' * 300_000 + b"\r\n\r\nhi\r\n", None),
    "name in 300,000 pieces": (HEAD + b"Content-Type: a/b" + b";name*0*=" * 300_000 + b"\r\n\r\nhi\r\n", "no-text"),
    "charset with a NUL": (
        HEAD + b'Content-Type: text/plain; charset="utf\0-8"\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n',
        "broken-header",
    ),
    "charset idna": (HEAD + b"Content-Type: text/plain; charset=idna\r\n\r\n" + b"\xffa" * 300_000, "truncated-body"),
    "line ends only": (HEAD + b"\r\n" + b"\r\n" * 4_000_000, "no-text"),
    "combining marks only": (
        HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "\u0316\u0301".encode() * 1_000_000,
        "truncated-body",
    ),
    "escapes only": (HEAD + b"\r\n" + b"\x1b$B" * 1_000_000, "truncated-body"),
    "delimiters that are none": (HEAD + MIXED + b"--bx\r\n" * 1_000_000, "broken-structure"),
    "padding only": (
        HEAD + mime("a/b", b"YQ==\r\n" * 1_000_000, "Content-Transfer-Encoding: base64"),
        "damaged-encoding",
    ),
    "files without end": (HEAD + b"\r\n" + b"begin 644 a\r\n" * 200_000, "truncated-body"),
    "open tags": (HEAD + mime("text/html", b'<a "' * 500_000), "truncated-body"),
    "open comments": (HEAD + mime("text/html", b"<!--" * 500_000), "truncated-body"),
    "open scripts": (HEAD + mime("text/html", b"<script><style>" * 100_000), "truncated-body"),
    "angles": (HEAD + mime("text/html", b"<" * 500_000), "html-only"),
    "quotations 100,000 deep": (HEAD + mime("text/html", b"<blockquote>a" * 100_000), "html-only"),
    "winmail of zeros": (HEAD + mime("application/ms-tnef", b"\x78\x9f\x3e\x22" + b"\0" * 4_000_000), "winmail"),
    "winmail that counts to 4,294,967,295": (
        HEAD + mime("application/ms-tnef", b"\x78\x9f\x3e\x22\1\0" + b"\1\x03\x90\6\0\4\0\0\0\xff\xff\xff\xff\xfc\3"),
        "winmail",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_pitfall_10_hostile_mail_ends_definitely(case: str, tmp_path: Path) -> None:
    raw, mark = HOSTILE[case]
    began = time.process_time()
    answer = looked(raw, tmp_path / "out")
    assert time.process_time() - began < 10  # each takes well below 2 s; a machine under load may take longer
    assert "unparseable" not in answer["marks"]
    assert mark is None or mark in answer["marks"]


def signed(content: bytes) -> bytes:
    """Opaque S/MIME: the words are inside the signature's own envelope."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann@example.com")])
    now = datetime(2025, 1, 1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


INNER = multipart("multipart/mixed", "x", mime("text/plain", b"Signed words\r\n"), attached("text/x-log", "a.log", LOG))


def test_what_is_signed_in_an_envelope_is_read(tmp_path: Path) -> None:
    envelope = signed(INNER)
    raw = HEAD + attached("application/pkcs7-mime; smime-type=signed-data", "smime.p7m", envelope)
    answer = looked(raw, tmp_path / "out")
    assert answer["text"] == "Signed words\n"
    assert files(answer, tmp_path / "out") == [("smime.p7m", "smime", envelope), ("a.log", "attachment", LOG)]
    assert [each["position"] for each in answer["attachments"]] == ["1", "1/1.2"]
    assert answer["marks"] == ["signed"]


def test_signed_content_in_pieces_of_indefinite_length_is_read() -> None:
    def indefinite(tag: int, *inside: bytes) -> bytes:
        return bytes((tag, 0x80)) + b"".join(inside) + b"\0\0"

    kind = bytes.fromhex("06092a864886f70d010702")
    data_kind = bytes.fromhex("06092a864886f70d010701")
    pieces = indefinite(0x24, b"\x04\x03abc", indefinite(0x24, b"\x04\x02de"), b"\x04\x81\x01f")
    encapsulated = indefinite(0x30, data_kind, indefinite(0xA0, pieces))
    whole = indefinite(0x30, kind, indefinite(0xA0, indefinite(0x30, b"\x02\x01\x01", b"\x31\x00", encapsulated)))
    assert signed_content(whole) == b"abcdef"
    for end in range(len(whole) - 2):
        assert signed_content(whole[:end]) in (None, b"abcdef")


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0\x80" * 500_000, b"0\x84\xff\xff\xff\xff", b"\x24\x80\x04\x00" * 500_000, b"\0" * 1_000_000]
)
def test_what_is_no_signed_data_is_left_closed(data: bytes) -> None:
    began = time.process_time()
    assert signed_content(data) is None
    assert time.process_time() - began < 5


def test_a_zip_bomb_is_bytes(tmp_path: Path) -> None:
    bomb = b"PK\x03\x04" + bytes(10_000)
    answer = looked(HEAD + attached("application/zip", "bomb.zip", bomb), tmp_path / "out")
    assert files(answer, tmp_path / "out") == [("bomb.zip", "attachment", bomb)]


def test_a_defect_of_ours_is_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("gateway.examine.mail.body.sort", broken)
    assert looked(HEAD + b"\r\nHello\r\n", tmp_path / "out")["marks"] == ["no-text", "unparseable"]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                del data[at : at + chance.randrange(1, 60)]
            case 2:
                data[at:at] = chance.choice(
                    [b"\r\n", b"\n", b"\r\n\r\n", b"--", b'"', b";", b"=", b"=?utf-8?B?", b"\0", b"\x1b$B", b"<!--"]
                )
            case 3:
                other = chance.choice(EXAMPLES).raw
                start = chance.randrange(len(other))
                data[at:at] = other[start : start + chance.randrange(1, 300)]
            case 4:
                data[at:at] = data[max(0, at - chance.randrange(1, 200)) : at]
            case 5:
                del data[at:]
    return bytes(data)


@pytest.mark.parametrize("seed", range(10))
def test_mutated_mail_never_breaks_the_look(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    for number in range(25):
        raw = mutated(chance.choice(EXAMPLES).raw, chance)
        answer = looked(raw, tmp_path / str(number))
        assert answer["defect"] is None, answer["defect"]
        headers = split(raw)
        simple = plain_text(headers, raw[headers.body_at :])
        if simple is not None:
            assert (answer["text"] or "").strip() == simple.strip()


def test_log_lines_that_look_like_mail_are_kept(tmp_path: Path) -> None:
    raw = HEAD + multipart("multipart/mixed", "x", mime("text/plain", LOG), attached("text/plain", "a.log", LOG))
    answer = looked(raw, tmp_path / "out")
    assert answer["text"] == LOG.decode().replace("\r\n", "\n")
    assert files(answer, tmp_path / "out")[0][2] == LOG


async def test_a_worker_looks_at_the_largest_mail_within_its_limits(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(25 << 20)
    raw = HEAD + multipart("multipart/mixed", "x", mime("text/plain", b"Hello\r\n"), attached("a/b", "core.gz", data))
    (tmp_path / "mail").write_bytes(raw)
    (tmp_path / "out").mkdir()
    limits = Limits(memory=512 << 20, output=ANSWER_MOST, written=len(raw))
    async with Crew(1, limits) as crew:
        answer = await crew.run("gateway.examine.mail:inspect", path=str(tmp_path / "mail"), into=str(tmp_path / "out"))
    assert answer["text"] == "Hello\n"
    assert (tmp_path / "out" / answer["attachments"][0]["file"]).read_bytes() == data


@pytest.mark.parametrize("line", ["plain words, and a number: 12345.\r\n", "Grüße, ログ, журнал — 12345\r\n"])
def test_a_long_plain_text_is_the_text_that_the_parsers_give(line: str, tmp_path: Path) -> None:
    content = (line * (words.LONGEST // len(line.encode()))).encode()[: words.LONGEST]
    answer = looked(HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + content, tmp_path / "out")
    assert answer["reader"] == "charsets", "line by line it would take twenty times as long"
    short = line * 20
    assert words.read(short.encode(), "plain", "utf-8").reader == "mail-parser"
    assert words.read(content, "plain", "utf-8").text == words._mail_parser(content, "plain", "utf-8")


@pytest.mark.parametrize("lengths", [(LONGEST_TEXT + 9,), (LONGEST_TEXT // 2 + 9, LONGEST_TEXT // 2)])
def test_of_a_text_too_long_to_show_the_whole_is_attached(lengths: tuple[int, ...], tmp_path: Path) -> None:
    texts = [bytes([65 + number]) * (length - 2) + b"\r\n" for number, length in enumerate(lengths)]
    raw = HEAD + multipart("multipart/mixed", "b", *(b"Content-Type: text/plain\r\n\r\n" + text for text in texts))
    answer = looked(raw, tmp_path / "out")
    assert "truncated-body" in answer["marks"]
    assert len(answer["text"]) == LONGEST_TEXT
    [(_, kind, data)] = files(answer, tmp_path / "out")
    assert (kind, data.strip()) == ("text", texts[-1].strip())


@pytest.mark.parametrize("size", [0, 1, 2, 3, 57, 58, 1000])
@pytest.mark.parametrize("width", [4, 76, 998])
def test_good_base64_is_read_alike_by_the_quick_and_the_forgiving_reader(size: int, width: int) -> None:
    data = bytes(number * 37 & 255 for number in range(size))
    encoded = base64.b64encode(data)
    body = b"".join(encoded[at : at + width] + b"\r\n" for at in range(0, len(encoded), width))
    assert transfer.decode(body, "base64") == transfer._damaged_base64(body) == transfer.Content(data)
