"""The one mailbox of the one From field; every trick that shows one address and means another is refused by name."""

import time
from email.utils import parseaddr

import pytest

from gateway.domain.headers import split
from gateway.domain.sender import Mailbox, SenderDefect, normal_domain, read_mailbox, sender_of

READ = [
    (b"ann@example.com", "ann@example.com"),
    (b"<ann@example.com>", "ann@example.com"),
    (b"Ann <ann@example.com>", "ann@example.com"),
    (b"Ann<ann@example.com>", "ann@example.com"),
    (b"  Ann   <ann@example.com>  ", "ann@example.com"),
    (b'"Doe, Ann (IT)" <ann@example.com>', "ann@example.com"),
    (b'"Ann \\"A\\" Doe" <ann@example.com>', "ann@example.com"),
    (b"Ann Q. Doe <ann@example.com>", "ann@example.com"),
    (b"Ann O'Neill <ann.o'neill+sr@example.com>", "ann.o'neill+sr@example.com"),
    (b"Support [EMEA] <ann@example.com>", "ann@example.com"),
    (b"Ann (IT) <ann@example.com>", "ann@example.com"),
    (b"ann@example.com (Ann Doe)", "ann@example.com"),
    (b'"ann@example.com" <ann@example.com>', "ann@example.com"),
    (b"=?utf-8?Q?J=C3=BCrgen_Gro=C3=9F?= <jg@example.com>", "jg@example.com"),
    (b"=?utf-8?Q?a=40example.net?= <jg@example.com>", "jg@example.com"),
    ("Jürgen <jg@example.com>".encode(), "jg@example.com"),
    ("山田 <yamada@example.com>".encode(), "yamada@example.com"),
    ("山田 <yamada@example.com>".encode("euc-jp"), "yamada@example.com"),
    (b"Ann <Ann.Doe@EXAMPLE.Com>", "Ann.Doe@example.com"),
    ("x@bücher.example".encode(), "x@xn--bcher-kva.example"),
    ("x@BÜCHER.example".encode(), "x@xn--bcher-kva.example"),
    ("x@bu\u0308cher.example".encode(), "x@xn--bcher-kva.example"),
    ("x@faß.example".encode(), "x@xn--fa-hia.example"),
    (b"x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example"),
    ("用户@例え.example".encode(), "用户@xn--r8jz45g.example"),
]

REFUSED = [
    (b"", SenderDefect.EMPTY),
    (b"<>", SenderDefect.ADDRESS),
    (b"Ann", SenderDefect.ADDRESS),
    (b"a@example.com, b@example.net", SenderDefect.SEVERAL_MAILBOXES),
    (b"A <a@example.com>, B <b@example.net>", SenderDefect.SEVERAL_MAILBOXES),
    (b"<a@example.com>, <b@example.net>", SenderDefect.SEVERAL_MAILBOXES),
    (b"Doe, Ann <ann@example.com>", SenderDefect.SEVERAL_MAILBOXES),
    (b"Team: a@example.com;", SenderDefect.GROUP),
    (b"Team: A <a@example.com>;", SenderDefect.GROUP),
    (b"undisclosed-recipients:;", SenderDefect.GROUP),
    (b"a@example.com(b@example.net)", SenderDefect.COMMENT),
    (b"(b@example.net) <a@example.com>", SenderDefect.COMMENT),
    (b"<a@example.com> (b@example.net)", SenderDefect.COMMENT),
    (b"<a@example.com> (one) two", SenderDefect.COMMENT),
    (b"a@example.com <b@example.net>", SenderDefect.DISPLAY_NAME),
    (b"<a@example.com> <b@example.net>", SenderDefect.DISPLAY_NAME),
    (b"<a@example.com><b@example.net>", SenderDefect.DISPLAY_NAME),
    (b'"unclosed <a@example.com>', SenderDefect.DISPLAY_NAME),
    (b"Ann\\ <a@example.com>", SenderDefect.DISPLAY_NAME),
    (b"=?utf-8?Q?a=40example.com?=", SenderDefect.ENCODED_ADDRESS),
    (b"<=?utf-8?Q?a=40example.com?=>", SenderDefect.ENCODED_ADDRESS),
    (b"=?utf-8?Q?a?=@example.com", SenderDefect.ENCODED_ADDRESS),
    (b"<@example.net:a@example.com>", SenderDefect.GROUP),
    (b"<a@example.com", SenderDefect.ADDRESS),
    (b"a@b@example.com", SenderDefect.ADDRESS),
    (b"a b@example.com", SenderDefect.ADDRESS),
    (b'"a b"@example.com', SenderDefect.ADDRESS),
    (b"a..b@example.com", SenderDefect.ADDRESS),
    (b".a@example.com", SenderDefect.ADDRESS),
    (b"a @example.com", SenderDefect.ADDRESS),
    (b"a(x)b@example.com", SenderDefect.COMMENT),
    (b"a" * 65 + b"@example.com", SenderDefect.ADDRESS),
    ("a\u202eb@example.com".encode(), SenderDefect.ADDRESS),
    ("a＠example.net@example.com".encode(), SenderDefect.ADDRESS),
    (b"a@[192.0.2.1]", SenderDefect.DOMAIN),
    (b"a@example..com", SenderDefect.DOMAIN),
    (b"a@example.com.", SenderDefect.DOMAIN),
    (b"a@-example.com", SenderDefect.DOMAIN),
    (b"a@exa_mple.com", SenderDefect.DOMAIN),
    (b"a@" + b"x" * 64 + b".com", SenderDefect.DOMAIN),
    ("a@ｅxample.com".encode(), SenderDefect.DOMAIN),
    ("a@example。com".encode(), SenderDefect.DOMAIN),
    ("a@exam\u200bple.com".encode(), SenderDefect.DOMAIN),
    (b"a\0@example.com", SenderDefect.CONTROL_CHARACTER),
    (b"Ann\x1b$B <a@example.com>", SenderDefect.CONTROL_CHARACTER),
    (b"Ann " * 2_000 + b"<a@example.com>", SenderDefect.TOO_LONG),
]


@pytest.mark.parametrize("value, address", READ, ids=[ascii(value) for value, _ in READ])
def test_plain_forms_are_read(value: bytes, address: str) -> None:
    mailbox = read_mailbox(value)
    assert isinstance(mailbox, Mailbox)
    assert mailbox.address == address


@pytest.mark.parametrize("value, defect", REFUSED, ids=[ascii(value[:60]) for value, _ in REFUSED])
def test_doubtful_forms_are_refused_by_name(value: bytes, defect: SenderDefect) -> None:
    assert read_mailbox(value) == defect


def test_pitfall_11_an_address_followed_by_another_is_not_the_first_one() -> None:
    trick = "victim@example.com)evil@example.net"
    assert parseaddr(trick)[1] in ("victim@example.com", "")  # what the standard library makes of it, by version
    assert read_mailbox(trick.encode()) == SenderDefect.ADDRESS


@pytest.mark.parametrize(
    "section, expected",
    [
        (b"From: a@example.com\r\n", Mailbox("a", "example.com")),
        (b"Sender: a@example.com\r\nReply-To: a@example.com\r\n", SenderDefect.NO_FROM),
        (b"From: a@example.com\r\nFrom: a@example.com\r\n", SenderDefect.SEVERAL_FROM),
        (b"From: a@example.com\r\nfrom: b@example.net\r\n", SenderDefect.SEVERAL_FROM),
        (b"From : a@example.com\r\n", SenderDefect.MISSPELT_FIELD),
        (b"From: a@example.com\r\nFrom\t: b@example.net\r\n", SenderDefect.MISSPELT_FIELD),
        (b"From: a@example.com\r\nFrom\0: b@example.net\r\n", SenderDefect.MISSPELT_FIELD),
        (b" From: b@example.net\r\nFrom: a@example.com\r\n", SenderDefect.BROKEN_HEADER),
        (b"Subject: x\r\n From: b@example.net\r\nFrom: a@example.com\r\n", Mailbox("a", "example.com")),
        (b"X: y\rFrom: b@example.net\r\nFrom: a@example.com\r\n", SenderDefect.BROKEN_HEADER),
        (b"Subject: x\r\ngarbage\r\nFrom: a@example.com\r\n", SenderDefect.BROKEN_HEADER),
        (b"X: y\r\n" * 5_000 + b"From: a@example.com\r\n", SenderDefect.BROKEN_HEADER),
        (b"X-Mailer : y\r\nFrom: a@example.com\r\n", Mailbox("a", "example.com")),
    ],
)
def test_pitfall_19_exactly_one_from_in_any_spelling(section: bytes, expected: Mailbox | SenderDefect) -> None:
    assert sender_of(split(section + b"\r\n")) == expected


def test_look_alike_domains_are_other_domains() -> None:
    assert normal_domain("example.com") == "example.com"
    assert normal_domain("ex\u0430mple.com") == "xn--exmple-4nf.com"
    assert normal_domain("EXAMPLE.com") == "example.com"


@pytest.mark.parametrize("sign", [b'"', b"(", b"<", b"\\", b"a.", b"a ", b"=?", b'a=";;;'])
def test_hostile_from_fields_end_quickly(sign: bytes) -> None:
    began = time.process_time()
    for length in (4_096, 1_000_000):
        assert isinstance(read_mailbox((sign * length)[:length]), SenderDefect)
    assert time.process_time() - began < 1
