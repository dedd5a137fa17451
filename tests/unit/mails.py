"""Mails as the customers' programs write them, each with what a look inside must find.

They are built here, so that they can be read. An example's text is compared without surrounding white space; an
attachment by name, kind and bytes.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import struct
from dataclasses import dataclass, field

HEAD = (
    b"From: Ann <ann@example.com>\r\nTo: support@example.com\r\nSubject: SR# 12345 logs\r\n"
    b"Message-ID: <1@example.com>\r\n"
)
PDF = b"%PDF-1.4\r\n" + bytes(range(256)) * 8 + b"\r\n%%EOF\r\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(255, -1, -1)) * 4
LOG = b"10:00:00 start\r\n10:00:01 From the log\r\n.\r\n\r\nend without line end"
ZIP_BOMB = b"PK\x03\x04" + b"\0" * 4096 + b"PK\x05\x06" + b"\0" * 18


OLDER = (
    b"From: eve@example.net\r\nSubject: =?utf-8?Q?Old_St=C3=B6rung?=\r\nContent-Type: text/plain\r\n"
    b"\r\nNot my words\r\n"
)


@dataclass(frozen=True)
class Example:
    """A mail, and what is inside."""

    name: str
    raw: bytes
    text: str | None
    attachments: list[tuple[str, str, bytes]] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)


def mime(kind: str, body: bytes, *more: str) -> bytes:
    """A part, or the rest of a message, of a content type."""
    fields = "".join(f"{each}\r\n" for each in (f"Content-Type: {kind}", *more))
    return fields.encode("utf-8", "surrogateescape") + b"\r\n" + body


def multipart(kind: str, boundary: str, *parts: bytes, preamble: bytes = b"") -> bytes:
    """A multipart out of parts that carry their own header sections."""
    edge = f"--{boundary}".encode()
    body = preamble + b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"
    return mime(f'{kind};\r\n boundary="{boundary}"', body)


def b64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def qp(text: str, charset: str) -> bytes:
    return quopri.encodestring(text.encode(charset)).replace(b"\n", b"\r\n")


def attached(kind: str, name: str, data: bytes, disposition: str = "attachment") -> bytes:
    return mime(
        f'{kind}; name="{name}"',
        b64(data),
        f'Content-Disposition: {disposition}; filename="{name}"',
        "Content-Transfer-Encoding: base64",
    )


def uuencoded(name: str, data: bytes) -> bytes:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45], backtick=True) for at in range(0, len(data), 45))
    return (b"begin 644 " + name.encode() + b"\n" + lines + b"`\nend\n").replace(b"\n", b"\r\n")


def tnef(files: list[tuple[bytes, bytes]], text: bytes = b"") -> bytes:
    """A winmail.dat (MS-OXTNEF section 2.1)."""

    def item(level: int, name: int, kind: int, data: bytes) -> bytes:
        return struct.pack("<BHHI", level, name, kind, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    whole = struct.pack("<IH", 0x223E9F78, 1)
    whole += item(1, 0x9006, 8, struct.pack("<I", 0x10000)) + item(1, 0x9007, 6, struct.pack("<II", 1252, 0))
    if text:
        whole += item(1, 0x800C, 2, text + b"\0")
    for name, data in files:
        whole += item(2, 0x9002, 6, b"\0" * 14) + item(2, 0x8010, 1, name + b"\0") + item(2, 0x800F, 6, data)
    return whole


JA = "お世話になっております。\r\nログを添付いたします。①\r\n"
ZH = "您好，\r\n附件是日志文件，请查收。\r\n"
TW = "您好，\r\n附件是記錄檔，請查收。\r\n"
KO = "안녕하세요,\r\n로그 파일을 첨부합니다.\r\n"
RU = "Здравствуйте,\r\nприлагаю журнал событий.\r\n"
DE = "Grüße aus München,\r\nanbei die Protokolle.\r\n"
PT = "Olá,\r\nsegue em anexo a informação do serviço.\r\n"
JA_7 = JA.replace("①", "")

CHARSETS = [
    Example(f"{name} {encoding} {label or 'undeclared'}", HEAD + raw, text, [], marks)
    for name, charset, label, text, encoding, marks in [
        ("japanese", "iso-2022-jp", "ISO-2022-JP", JA_7, "7bit", set()),
        ("japanese", "iso-2022-jp", "ISO-2022-JP", JA_7, "", set()),
        ("japanese", "iso-2022-jp", "ISO-2022-JP", JA_7, "base64", set()),
        ("japanese", "iso-2022-jp", None, JA_7, "", set()),
        ("japanese", "iso-2022-jp", "us-ascii", JA_7, "7bit", {"charset-repaired"}),
        ("japanese", "cp932", "Shift_JIS", JA, "8bit", set()),
        ("japanese", "cp932", "windows-31j", JA, "base64", set()),
        ("japanese", "cp932", None, JA, "8bit", set()),
        ("japanese", "cp932", "iso-8859-1", JA, "8bit", {"charset-repaired"}),
        ("japanese", "euc-jp", "EUC-JP", JA_7, "8bit", set()),
        ("japanese", "utf-8", "utf-8", JA, "base64", set()),
        ("japanese", "utf-8", "iso-2022-jp", JA, "8bit", {"charset-repaired"}),
        ("chinese", "gbk", "gb2312", ZH, "base64", set()),
        ("chinese", "gb18030", "GB18030", ZH, "quoted-printable", set()),
        ("chinese", "gbk", None, ZH, "8bit", set()),
        ("taiwanese", "cp950", "Big5", TW, "8bit", set()),
        ("taiwanese", "cp950", "utf-8", TW, "8bit", {"charset-repaired"}),
        ("korean", "cp949", "ks_c_5601-1987", KO, "base64", set()),
        ("korean", "euc-kr", "EUC-KR", KO, "8bit", set()),
        ("russian", "cp1251", "windows-1251", RU, "quoted-printable", set()),
        ("russian", "koi8-r", "KOI8-R", RU, "8bit", set()),
        ("russian", "koi8-r", None, RU, "8bit", set()),
        ("german", "latin-1", "iso-8859-1", DE, "quoted-printable", set()),
        ("german", "cp1252", "Windows-1252", DE + "„Grüße“ – 5 €\r\n", "8bit", set()),
        ("german", "cp1252", "iso-8859-1", DE + "„Grüße“ – 5 €\r\n", "8bit", set()),
        ("german", "utf-8", "iso-8859-1", DE, "8bit", {"charset-repaired"}),
        ("german", "latin-1", "utf-8", DE, "8bit", {"charset-repaired"}),
        ("german", "latin-1", None, DE, "8bit", set()),
        ("portuguese", "iso-8859-1", "ISO-8859-1", PT, "8bit", set()),
        ("polish", "iso-8859-2", "iso-8859-2", "Załączam dziennik zdarzeń.\r\n", "8bit", set()),
        ("greek", "cp1253", "windows-1253", "Επισυνάπτω το αρχείο.\r\n", "quoted-printable", set()),
        ("turkish", "iso-8859-9", "iso-8859-9", "Günlük dosyası ektedir, iyi çalışmalar.\r\n", "8bit", set()),
        ("hebrew", "cp1255", "windows-1255", "מצורף קובץ היומן\r\n", "base64", set()),
        ("arabic", "cp1256", "windows-1256", "مرفق ملف السجل\r\n", "base64", set()),
    ]
    for raw in [
        mime(
            f"text/plain; charset={label}" if label else "text/plain",
            {"base64": b64(text.encode(charset)), "quoted-printable": qp(text, charset)}.get(
                encoding, text.encode(charset)
            ),
            *([f"Content-Transfer-Encoding: {encoding}"] if encoding else []),
        )
    ]
]

CLIENTS = [
    Example(
        "plain, before MIME",
        HEAD + b"\r\nHello,\r\nlogs follow.\r\n",
        "Hello,\nlogs follow.",
    ),
    Example(
        "Outlook: related in mixed, alternative in related",
        HEAD
        + multipart(
            "multipart/mixed",
            "_005_",
            multipart(
                "multipart/related",
                "_004_",
                multipart(
                    "multipart/alternative",
                    "_000_",
                    mime(
                        'text/plain; charset="iso-8859-1"',
                        qp(DE, "latin-1"),
                        "Content-Transfer-Encoding: quoted-printable",
                    ),
                    mime("text/html; charset=iso-8859-1", b"<p>Gr&uuml;&szlig;e <img src=cid:i@1></p>"),
                ),
                mime(
                    'image/png; name="image001.png"', b64(PNG), "Content-ID: <i@1>", "Content-Transfer-Encoding: base64"
                ),
            ),
            attached("application/pdf", "trace.pdf", PDF),
            preamble=b"This is a multi-part message in MIME format.\r\n",
        ),
        DE,
        [("image001.png", "inline", PNG), ("trace.pdf", "attachment", PDF)],
    ),
    Example(
        "Gmail: alternative in mixed, RFC 2047 name",
        HEAD
        + multipart(
            "multipart/mixed",
            "000000000000a1",
            multipart(
                "multipart/alternative",
                "000000000000a2",
                mime('text/plain; charset="UTF-8"', PT.encode()),
                mime('text/html; charset="UTF-8"', f'<div dir="ltr">{PT}</div>'.encode()),
            ),
            attached("application/zip", "=?UTF-8?B?bG9nc19lbV9wb3J0dWd1w6pzLnppcA==?=", ZIP_BOMB),
        ),
        PT,
        [("logs_em_português.zip", "attachment", ZIP_BOMB)],
    ),
    Example(
        "Apple Mail: text, picture and text in turn; the HTML form carries the file",
        HEAD
        + multipart(
            "multipart/alternative",
            "Apple-1",
            mime("text/plain; charset=utf-8", b"See the trace:\r\n", "Content-Transfer-Encoding: 7bit"),
            multipart(
                "multipart/mixed",
                "Apple-2",
                mime("text/html; charset=utf-8", b"<html><body>See the trace:</body></html>"),
                mime(
                    'application/pdf; x-unix-mode=0644; name="Bildschirmfoto.pdf"',
                    b64(PDF),
                    "Content-Disposition: inline;\r\n\tfilename*=utf-8''Bildschirmfoto%20M%C3%A4rz.pdf",
                    "Content-Transfer-Encoding: base64",
                ),
                mime("text/html; charset=us-ascii", b"<html><body></body></html>"),
            ),
        ),
        "See the trace:",
        [("Bildschirmfoto März.pdf", "inline", PDF)],
    ),
    Example(
        "Apple Mail: plain text, inline picture, plain text",
        HEAD
        + multipart(
            "multipart/mixed",
            "Apple-3",
            mime("text/plain; charset=us-ascii", b"First\r\n"),
            attached("image/png", "a.png", PNG, "inline"),
            mime("text/plain; charset=us-ascii", b"Second\r\n"),
        ),
        "First\n\nSecond",
        [("a.png", "inline", PNG)],
    ),
    Example(
        "Thunderbird, Japanese: ISO-2022-JP, RFC 2231 name in pieces",
        HEAD
        + multipart(
            "multipart/mixed",
            "------------0501",
            mime("text/plain; charset=ISO-2022-JP", JA_7.encode("iso-2022-jp"), "Content-Transfer-Encoding: 7bit"),
            mime(
                'text/x-log;\r\n name="=?ISO-2022-JP?B?GyRCJW0lMBsoQi5sb2c=?="',
                b64(LOG),
                "Content-Disposition: attachment;\r\n filename*0*=ISO-2022-JP''%1B%24%42%25%6D%25;\r\n"
                " filename*1*=%30%1B%28%42%2E;\r\n"
                " filename*2=log",
                "Content-Transfer-Encoding: base64",
            ),
        ),
        JA_7,
        [("ログ.log", "attachment", LOG)],
    ),
    Example(
        "Lotus Notes: GIF in related, raw eight-bit name",
        HEAD
        + multipart(
            "multipart/mixed",
            "=_mixed 00501C2A",
            multipart(
                "multipart/related",
                "=_related 00501C2A",
                multipart(
                    "multipart/alternative",
                    "=_alternative 00501C2A",
                    mime(
                        "text/plain; charset=ISO-8859-1",
                        qp(DE, "latin-1"),
                        "Content-Transfer-Encoding: quoted-printable",
                    ),
                    mime(
                        "text/html; charset=ISO-8859-1",
                        b"<font size=2>Gr=FC=DFe</font>",
                        "Content-Transfer-Encoding: quoted-printable",
                    ),
                ),
                mime(
                    "image/gif",
                    b64(b"GIF89a" + PNG),
                    "Content-ID: <_1_0123456789ABCDEF>",
                    "Content-Transfer-Encoding: base64",
                ),
            ),
            attached("application/octet-stream", "Ger\udce4tebericht.nsf", PDF),
        ),
        DE,
        [("attachment-1.gif", "inline", b"GIF89a" + PNG), ("Gerätebericht.nsf", "attachment", PDF)],
    ),
    Example(
        "QQ mail: GB18030 everywhere, names in encoded words",
        HEAD
        + multipart(
            "multipart/mixed",
            "----=_NextPart_65A1",
            multipart(
                "multipart/alternative",
                "----=_NextPart_65A2",
                mime(
                    'text/plain;\r\n\tcharset="gb18030"', b64(ZH.encode("gb18030")), "Content-Transfer-Encoding: base64"
                ),
                mime(
                    'text/html;\r\n\tcharset="gb18030"',
                    b64(f"<div>{ZH}</div>".encode("gb18030")),
                    "Content-Transfer-Encoding: base64",
                ),
            ),
            attached("application/octet-stream", "=?gb18030?B?yNXWvi5sb2c=?=", LOG),
        ),
        ZH,
        [("日志.log", "attachment", LOG)],
    ),
    Example(
        "a web form: HTML only",
        HEAD
        + mime(
            "text/html; charset=utf-8",
            "<html><head><title>x</title><style>p{}</style></head><body><p>Hello <b>you</b>,</p>"
            "<ul><li>one<li>two</ul><p>See <a href='https://example.com/a'>this</a>&nbsp;&amp; Grüße</p>"
            "</body></html>".encode(),
        ),
        "Hello you,\n\n- one\n- two\n\nSee this <https://example.com/a>\u00a0& Grüße",
        [],
        {"html-only"},
    ),
    Example(
        "HTML whose charset stands in its head alone",
        HEAD
        + mime(
            "text/html", f'<meta charset="shift_jis"><p>{JA_7}</p>'.encode("cp932"), "Content-Transfer-Encoding: 8bit"
        ),
        "お世話になっております。 ログを添付いたします。",
        [],
        {"html-only"},
    ),
    Example(
        "plain alternative that only says that there is HTML",
        HEAD
        + multipart(
            "multipart/alternative",
            "x",
            mime("text/plain", b"Your mail program does not support HTML.\r\n"),
            mime("text/html", b"<p>The real words</p>"),
        ),
        "The real words",
        [],
        {"html-only"},
    ),
    Example(
        "two plain texts that are called alternatives, one of them twice",
        HEAD
        + multipart(
            "multipart/alternative",
            "x",
            mime("text/plain", b"The words\r\n"),
            mime("text/plain", b"\r\nThe words"),
            mime("text/plain", b"A footer\r\n"),
            mime("text/html", b"<p>The words</p>"),
        ),
        "The words\n\nA footer",
    ),
    Example(
        "Apple Mail: an empty plain form, HTML around a file",
        HEAD
        + multipart(
            "multipart/alternative",
            "x",
            mime("text/plain", b"=20\r\n\r\n", "Content-Transfer-Encoding: quoted-printable"),
            multipart(
                "multipart/mixed",
                "y",
                mime("text/html", b"<p>Before</p>"),
                attached("application/pdf", "a.pdf", PDF),
                mime("text/html", b"<p>Behind</p>"),
            ),
        ),
        "Before\n\nBehind",
        [("a.pdf", "attachment", PDF)],
        {"html-only"},
    ),
    Example(
        "HTML with a > in a quoted value, and with a quote that is never closed",
        HEAD
        + mime(
            "text/html", b'<p title=\'a > b\'>Seen <a href="https://example.com/?a>b">there</a><br class="x>too</p>'
        ),
        "Seen there <https://example.com/?a>b>\ntoo",
        [],
        {"html-only"},
    ),
    Example(
        "HTML with a name, and nothing else",
        HEAD + mime("text/html", b"<p>The words</p>", "Content-Disposition: inline; filename=mail.html"),
        "The words",
        [("mail.html", "inline", b"<p>The words</p>")],
        {"html-only"},
    ),
    Example(
        "text of a kind that nobody knows",
        HEAD + mime("text/x-notes; charset=utf-8", "Grüße\r\n".encode()),
        "Grüße",
        [("attachment-1.txt", "attachment", "Grüße\r\n".encode())],
    ),
    Example(
        "words that are called base64",
        HEAD
        + mime(
            "text/plain",
            b"replication interrupted configuration unreachable\r\nadministrator notified unsuccessfully\r\n",
            "Content-Transfer-Encoding: base64",
        ),
        "replication interrupted configuration unreachable\nadministrator notified unsuccessfully",
        [],
        {"damaged-encoding"},
    ),
    Example(
        "base64 that a list has put its footer behind",
        HEAD
        + mime(
            "text/plain; charset=utf-8",
            b64((DE * 3).encode()) + b"\r\n____________________\r\nTo leave this list write to leave@example.com\r\n",
            "Content-Transfer-Encoding: base64",
        ),
        DE * 3 + "\n____________________\nTo leave this list write to leave@example.com",
        [],
        {"damaged-encoding"},
    ),
    Example(
        "an attachment in base64 that a relay has put its words behind",
        HEAD
        + mime(
            "application/pdf; name=a.pdf",
            b64(PDF) + b"\r\nThis mail was looked at by nobody at all.\r\n",
            "Content-Transfer-Encoding: base64",
        ),
        None,
        [("a.pdf", "attachment", PDF)],
        {"damaged-encoding", "no-text"},
    ),
    Example(
        "an invitation",
        HEAD
        + multipart(
            "multipart/alternative",
            "x",
            mime("text/plain", b"Call at ten\r\n"),
            mime("text/html", b"<p>Call at ten</p>"),
            mime("text/calendar; method=REQUEST", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"),
        ),
        "Call at ten",
        [("attachment-1.ics", "attachment", b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")],
    ),
    Example(
        "attached log in eight bits, byte for byte",
        HEAD
        + multipart(
            "multipart/mixed",
            "x",
            mime("text/plain", b"Log attached\r\n"),
            mime(
                'text/plain; name="a.log"',
                LOG + b"\xff\xfe\x80",
                "Content-Disposition: attachment",
                "Content-Transfer-Encoding: 8bit",
            ),
        ),
        "Log attached",
        [("a.log", "attachment", LOG + b"\xff\xfe\x80")],
    ),
    Example(
        "unnamed parts get names",
        HEAD
        + multipart(
            "multipart/mixed",
            "x",
            mime("text/plain", b"Pictures\r\n"),
            mime("image/jpeg", b64(PNG), "Content-Transfer-Encoding: base64"),
            mime("application/pdf", b64(PDF), "Content-Transfer-Encoding: BASE64 "),
            mime("application/x-strange", b"data", "Content-Disposition: attachment"),
        ),
        "Pictures",
        [
            ("attachment-1.jpg", "attachment", PNG),
            ("attachment-2.pdf", "attachment", PDF),
            ("attachment-3.bin", "attachment", b"data"),
        ],
    ),
    Example(
        "the whole mail is one file",
        HEAD + attached("application/zip", "logs.zip", ZIP_BOMB),
        None,
        [("logs.zip", "attachment", ZIP_BOMB)],
        {"no-text"},
    ),
    Example(
        "body text that has a file name and nothing else beside it",
        HEAD + multipart("multipart/mixed", "x", mime('text/plain; name="message.txt"', b"Words\r\n")),
        "Words",
        [("message.txt", "attachment", b"Words\r\n")],
    ),
    Example(
        "uuencode in the text",
        HEAD + b"\r\nHere it is:\r\n\r\n" + uuencoded("core dump.bin", PDF) + b"\r\nRegards\r\n",
        "Here it is:\n\n[core dump.bin]\n\nRegards",
        [("core dump.bin", "uuencode", PDF)],
        {"uuencode"},
    ),
    Example(
        "uuencode as a transfer encoding",
        HEAD
        + multipart(
            "multipart/mixed",
            "x",
            mime(
                "application/octet-stream; name=a.bin", uuencoded("b.bin", PDF), "Content-Transfer-Encoding: x-uuencode"
            ),
        ),
        None,
        [("a.bin", "attachment", PDF)],
        {"no-text"},
    ),
    Example(
        "uuencode that never ends stays text",
        HEAD + b"\r\nbegin 644 a.bin\r\n#0V%T\r\nThat was it.\r\n",
        "begin 644 a.bin\n#0V%T\nThat was it.",
    ),
    Example(
        "attached message, kept whole and not read as ours",
        HEAD
        + multipart(
            "multipart/mixed",
            "x",
            mime("text/plain", b"See below\r\n"),
            mime(
                "message/rfc822",
                OLDER,
            ),
        ),
        "See below",
        [
            (
                "Old Störung.eml",
                "message",
                OLDER,
            )
        ],
        {"attached-message"},
    ),
    Example(
        "digest",
        HEAD + multipart("multipart/digest", "x", b"\r\nSubject: one\r\n\r\n1\r\n", b"\r\nSubject: two\r\n\r\n2\r\n"),
        None,
        [("one.eml", "message", b"Subject: one\r\n\r\n1\r\n"), ("two.eml", "message", b"Subject: two\r\n\r\n2\r\n")],
        {"attached-message", "no-text"},
    ),
    Example(
        "winmail.dat",
        HEAD
        + multipart(
            "multipart/mixed",
            "x",
            mime("text/plain", b"See attachment\r\n"),
            attached("application/ms-tnef", "winmail.dat", tnef([(b"trace.log", LOG), (b"shot.png", PNG)])),
        ),
        "See attachment",
        [
            ("winmail.dat", "tnef", tnef([(b"trace.log", LOG), (b"shot.png", PNG)])),
            ("trace.log", "attachment", LOG),
            ("shot.png", "attachment", PNG),
        ],
        {"winmail"},
    ),
    Example(
        "winmail.dat with all the words",
        HEAD + attached("application/octet-stream", "WINMAIL.DAT", tnef([], b"Words in Outlook's own format")),
        "Words in Outlook's own format",
        [("WINMAIL.DAT", "tnef", tnef([], b"Words in Outlook's own format"))],
        {"winmail"},
    ),
    Example(
        "S/MIME, signed",
        HEAD
        + multipart(
            'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256',
            "x",
            mime("text/plain", b"Signed words\r\n"),
            mime("application/pkcs7-signature", b64(b"0\x82sig"), "Content-Transfer-Encoding: base64"),
        ),
        "Signed words",
        [("smime-1.p7s", "smime", b"0\x82sig")],
        {"signed"},
    ),
    Example(
        "S/MIME, encrypted",
        HEAD
        + mime(
            "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
            b64(PDF),
            "Content-Transfer-Encoding: base64",
        ),
        None,
        [("smime.p7m", "smime", PDF)],
        {"encrypted", "no-text"},
    ),
    Example(
        "PGP/MIME, encrypted",
        HEAD
        + multipart(
            'multipart/encrypted; protocol="application/pgp-encrypted"',
            "x",
            mime("application/pgp-encrypted", b"Version: 1\r\n"),
            mime("application/octet-stream; name=encrypted.asc", b"-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n"),
        ),
        None,
        [
            ("attachment-1.txt", "pgp", b"Version: 1\r\n"),
            ("encrypted.asc", "pgp", b"-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n"),
        ],
        {"encrypted", "no-text"},
    ),
    Example(
        "PGP in the text",
        HEAD + b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n",
        "-----BEGIN PGP MESSAGE-----\n\nhQEM\n-----END PGP MESSAGE-----",
        [],
        {"encrypted"},
    ),
    Example(
        "bounce",
        HEAD
        + multipart(
            "multipart/report; report-type=delivery-status",
            "x",
            mime("text/plain", b"It could not be delivered\r\n"),
            mime("message/delivery-status", b"Action: failed\r\n"),
            mime("text/rfc822-headers", b"Subject: x\r\n"),
        ),
        "It could not be delivered",
        [
            ("attachment-1.txt", "attachment", b"Action: failed\r\n"),
            ("attachment-2.txt", "attachment", b"Subject: x\r\n"),
        ],
    ),
    Example(
        "nested boundaries that begin alike, and one never closed",
        HEAD
        + mime(
            "multipart/mixed; boundary=ab",
            b"--ab\r\nContent-Type: multipart/mixed; boundary=abc\r\n\r\n--abc\r\n\r\nInner\r\n"
            b"--ab\r\n\r\nOuter\r\n--ab--\r\n",
        ),
        "Inner\n\nOuter",
        [],
        {"broken-structure"},
    ),
    Example(
        "cut off in the middle of an attachment",
        HEAD
        + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nWords\r\n--x\r\n"
        + b"Content-Type: application/pdf; name=a.pdf\r\n"
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + b64(PDF)[:400],
        "Words",
        [("a.pdf", "attachment", PDF[: (400 - 5 * 2) * 6 // 8])],
        {"broken-structure", "damaged-encoding"},
    ),
    Example(
        "no boundary at all",
        HEAD + mime("multipart/mixed", b"Words\r\n"),
        "Words",
        [],
        {"broken-structure"},
    ),
    Example(
        "a boundary that stands nowhere",
        HEAD + mime("multipart/mixed; boundary=x", b"--y\r\n\r\nWords\r\n--y--\r\n"),
        "--y\n\nWords\n--y--",
        [],
        {"broken-structure"},
    ),
    Example(
        "no empty line between fields and words",
        HEAD + multipart("multipart/mixed", "x", b"Content-Type: text/plain\r\nFirst words\r\nmore: words\r\n"),
        "First words\nmore: words",
        [],
        {"broken-header"},
    ),
    Example("no empty line at all", HEAD + b"Words\r\nmore words\r\n", "Words\nmore words", [], {"broken-header"}),
    Example("nothing", HEAD + b"\r\n", None, [], {"no-text"}),
    Example("bare line feeds", (HEAD + b"\r\nOne\r\nTwo\r\n").replace(b"\r\n", b"\n"), "One\nTwo"),
    Example(
        "a terminal's control characters", HEAD + b"\r\n\x1b[31mred\x07\x00 end\r\n", "\ufffd[31mred\ufffd\ufffd end"
    ),
]

EXAMPLES = CHARSETS + CLIENTS
