"""Is the sender genuine? SPF, DKIM and DMARC against a name server of the test's own; and a relay that says so."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import dkim
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.config.smtp import Smtp
from gateway.examine import sender
from gateway.smtp import authentication
from gateway.testing import until
from gateway.testing.mail_door import MailDoor, mail_door

# pyspf's source has such sequences; it is compiled when a test first imports it.
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")


class NameServer:
    """Answers from a table of (name, type) → records; a name in *broken* gets SERVFAIL."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.broken: set[str] = set()
        self.deaf = "."
        """What ends so gets no answer at all."""
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                packet, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            if packet == b"stop":
                return
            query = dns.message.from_wire(packet)
            question = query.question[0]
            name = question.name.to_text(True).lower()
            self.asked.append(name)
            if name.endswith(self.deaf):
                continue
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            found = self.records.get((name, dns.rdatatype.to_text(question.rdtype)))
            if name in self.broken:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif found:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", question.rdtype, *found))
            elif not any(known == name for known, _ in self.records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def key() -> tuple[bytes, str]:
    """A DKIM key: the private one in PEM, the public one as its record."""
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return pem, f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"


MAIL = b"From: Eva <eva@example.com>\r\nTo: support@example.com\r\nSubject: SR# 12345 x\r\n\r\ntext\r\n"


def quoted(text: str) -> str:
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))


def signed(raw: bytes, key: tuple[bytes, str], domain: bytes = b"example.com", **options: Any) -> bytes:
    return bytes(dkim.sign(raw, b"sel", domain, key[0], **options)) + raw


def verdict(names: NameServer, raw: bytes = MAIL, **changes: str) -> str:
    """The task, in this process, as it runs in a worker."""
    facts = {"domain": "example.com", "peer": "192.0.2.9", "hello": "mx.example.com", "sender": "eva@example.com"}
    answer = sender.authenticate(**{**facts, **changes}, message=raw.decode("latin-1"), name_servers=[names.address])
    return str(answer["verdict"])


def test_spf_that_is_aligned_passes(names: NameServer) -> None:
    names.records[("example.com", "TXT")] = [quoted("v=spf1 ip4:192.0.2.0/24 -all")]
    assert verdict(names) == "pass"
    assert verdict(names, peer="198.51.100.1") == "unverified"


def test_spf_of_another_domain_is_no_pass_for_this_one(names: NameServer) -> None:
    names.records[("evil.example.net", "TXT")] = [quoted("v=spf1 +all")]
    assert verdict(names, sender="x@evil.example.net") == "unverified"


def test_a_dkim_signature_of_the_authors_domain_passes(names: NameServer, key: tuple[bytes, str]) -> None:
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    raw = signed(MAIL, key)
    assert verdict(names, raw) == "pass"
    assert verdict(names, b"Received: from a by b; today\r\n" + raw) == "pass"
    assert verdict(names, raw.replace(b"text", b"test")) == "unverified"


def test_a_signature_of_another_domain_or_over_a_part_of_the_body_proves_nothing(
    names: NameServer, key: tuple[bytes, str]
) -> None:
    names.records[("sel._domainkey.example.net", "TXT")] = [quoted(key[1])]
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    assert verdict(names, signed(MAIL, key, b"example.net")) == "unverified"
    assert verdict(names, signed(MAIL, key, length=True) + b"appended\r\n") == "unverified"


def test_an_ed25519_signature_passes(names: NameServer) -> None:
    """RFC 8463."""
    private = Ed25519PrivateKey.generate()
    seed = b64encode(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    public = b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(f"v=DKIM1; k=ed25519; p={public}")]
    raw = bytes(dkim.sign(MAIL, b"sel", b"example.com", seed, signature_algorithm=b"ed25519-sha256")) + MAIL
    assert verdict(names, raw) == "pass"
    assert verdict(names, raw.replace(b"text", b"test")) == "unverified"


def test_a_subject_that_nobody_signed_proves_nothing(names: NameServer, key: tuple[bytes, str]) -> None:
    """Any mail that the victim ever signed could else be sent again, with an SR's number put on top."""
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    assert verdict(names, b"Subject: SR# 666 forged\r\n" + signed(MAIL, key)) == "unverified"
    assert verdict(names, signed(MAIL, key, include_headers=[b"from", b"to"])) == "unverified"
    assert verdict(names, signed(MAIL, key)) == "pass"


def test_alignment_is_relaxed_unless_the_domain_says_strict(names: NameServer, key: tuple[bytes, str]) -> None:
    names.records[("sel._domainkey.mail.example.com", "TXT")] = [quoted(key[1])]
    raw = signed(MAIL, key, b"mail.example.com")
    assert verdict(names, raw) == "pass"
    names.records[("_dmarc.example.com", "TXT")] = [quoted("v=DMARC1; p=reject; adkim=s")]
    assert verdict(names, raw) == "reject"


@pytest.mark.parametrize(
    "policy, expected", [("reject", "reject"), ("quarantine", "quarantine"), ("none", "unverified")]
)
def test_dmarc_says_what_becomes_of_what_does_not_pass(names: NameServer, policy: str, expected: str) -> None:
    names.records[("_dmarc.example.com", "TXT")] = [quoted(f"v=DMARC1; p={policy}")]
    assert verdict(names) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("v=DMARC1; p=Reject", "reject"),
        ("v = DMARC1 ;p = reject", "reject"),
        ("v=DMARC1; p=reject; ;", "reject"),
        ("v=DMARC1; p=reject; fo", "reject"),
        ("v=DMARC1; p=reject; rua=mailto:a@example.com;mailto:b@example.com", "reject"),
        ("v=DMARC1; p=reject; pct=0", "quarantine"),
        ("v=DMARC1; p=quarantine; pct=0", "unverified"),
        ("v=DMARC1; p=reject; t=y", "quarantine"),
        ("v=DMARC1; p=refuse; rua=mailto:a@example.com", "unverified"),
        ("v=DMARC1; p=refuse", "unverified"),
        ("v=DMARC10; p=reject", "unverified"),
        ("v=spf1 -all", "unverified"),
    ],
)
def test_what_is_wrong_in_a_dmarc_record_is_left_out_and_the_rest_counts(
    names: NameServer, record: str, expected: str
) -> None:
    """RFC 7489 sections 6.3, 6.6.3 and 6.6.4."""
    names.records[("_dmarc.example.com", "TXT")] = [quoted(record)]
    assert verdict(names) == expected


@pytest.mark.parametrize(
    ("flags", "options", "expected"),
    [
        ("", {"signature_algorithm": b"rsa-sha1"}, "unverified"),  # RFC 8301 section 3.1
        ("h=sha1; ", {}, "unverified"),
        ("h=sha1:sha256; ", {}, "pass"),
        ("t=y; ", {}, "unverified"),  # RFC 6376 section 3.6.1
        ("t=s; ", {"identity": b"@sub.example.com"}, "unverified"),
        ("t=s; ", {"identity": b"eva@example.com"}, "pass"),
        ("", {"identity": b"@sub.example.com"}, "pass"),
    ],
)
def test_a_signature_counts_as_its_algorithm_and_its_key_allow(
    names: NameServer, key: tuple[bytes, str], flags: str, options: dict[str, Any], expected: str
) -> None:
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1].replace("p=", flags + "p="))]
    assert verdict(names, signed(MAIL, key, **options)) == expected


def test_nobody_waits_for_the_name_servers_of_a_stranger(names: NameServer, key: tuple[bytes, str]) -> None:
    """Only what is aligned with From can make a sender genuine, so nothing else is asked about."""
    names.broken |= {"evil.example", "sel._domainkey.evil.example", "hello.example"}
    raw = signed(MAIL, key, b"evil.example")
    assert verdict(names, raw, sender="x@evil.example") == "unverified"
    assert verdict(names, raw, sender="", hello="hello.example") == "unverified"
    assert set(names.asked) == {"_dmarc.example.com"}


@pytest.mark.parametrize("selector", ["\xff", "a" * 64, "..", "\u2024", "x\\"])
def test_a_name_that_is_none_is_no_silence_of_the_dns(names: NameServer, selector: str) -> None:
    names.records[("_dmarc.example.com", "TXT")] = [quoted("v=DMARC1; p=reject")]
    signature = f"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s={selector}; h=from:subject; bh=AA==; b=AA==\r\n"
    assert verdict(names, signature.encode() + MAIL) == "reject"
    assert verdict(names, sender=f"x@{selector}.example.com") == "reject"


def test_signatures_of_others_do_not_hide_the_authors(names: NameServer, key: tuple[bytes, str]) -> None:
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    raw = signed(MAIL, key)
    for number in range(20):
        raw = b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=AA==; b=AA==\r\n" % number + raw
    assert verdict(names, raw) == "pass"


def test_a_subdomain_follows_its_organisations_policy(names: NameServer) -> None:
    names.records[("_dmarc.example.co.uk", "TXT")] = [quoted("v=DMARC1; p=none; sp=reject")]
    assert verdict(names, domain="a.b.example.co.uk") == "reject"
    assert verdict(names, domain="example.co.uk") == "unverified"


def test_dns_that_does_not_answer_is_no_verdict_unless_something_else_passes(
    names: NameServer, key: tuple[bytes, str]
) -> None:
    names.broken.add("_dmarc.example.com")
    assert verdict(names) == "unknown"
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    assert verdict(names, signed(MAIL, key)) == "pass"
    names.broken.add("sel._domainkey.example.com")
    assert verdict(names, signed(MAIL, key)) == "unknown"


@pytest.mark.parametrize(
    "raw",
    [
        b"DKIM-Signature: \r\n" + MAIL,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=..; h=from; bh=x; b=x\r\n" + MAIL,
        b"".join(
            b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=AA==; b=AA==\r\n" % n
            for n in range(300)
        )
        + MAIL,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s; h=from; bh=" + b"A" * 100_000 + b"; b=AA==\r\n" + MAIL,
        b"\xff\xfe" * 1000,
        b"",
    ],
    ids=["empty", "no name", "many", "huge", "bytes", "nothing"],
)
def test_smtp_19_hostile_signatures_are_no_pass_and_no_exception(names: NameServer, raw: bytes) -> None:
    assert verdict(names, raw) == "unverified"
    assert len(names.asked) < 30


@pytest.fixture
def judging(state: Path, names: NameServer) -> Iterator[MailDoor]:
    with mail_door(state, Smtp(sender_authentication="verify", name_servers=(names.address,))) as door:
        furnish(door)
        yield door


def furnish(door: MailDoor) -> None:
    acme = door.add_account()
    door.add_contact("eva@example.com", acme)
    door.add_sr("12345", acme)
    door.add_sr("777", acme, "Closed", "Problem Resolved")


def send(door: MailDoor, raw: bytes = MAIL) -> tuple[int, str]:
    with smtplib.SMTP(*door.address, local_hostname="mx.example.com", timeout=60) as client:
        client.ehlo()
        client.mail("eva@example.com")
        client.rcpt("support@example.com")
        code, text = client.data(raw)
        return code, text.decode()


def test_a_genuine_sender_is_filed_without_the_mark_and_told_details(judging: MailDoor, names: NameServer) -> None:
    names.records[("example.com", "TXT")] = [quoted("v=spf1 ip4:127.0.0.1 -all")]
    assert send(judging)[0] == 250
    assert judging.updates()[0].marks == ()
    code, text = send(judging, MAIL.replace(b"12345", b"777"))
    assert code == 550
    assert "SR 777 is closed" in text


def test_an_unverified_sender_is_filed_with_the_mark_and_told_no_details(judging: MailDoor) -> None:
    assert send(judging)[0] == 250
    assert judging.updates()[0].marks == ("unverified",)
    code, text = send(judging, MAIL.replace(b"12345", b"777"))
    assert code == 550
    assert "777" not in text


def test_dmarc_reject_quarantine_and_a_silent_dns(judging: MailDoor, names: NameServer) -> None:
    names.records[("_dmarc.example.com", "TXT")] = [quoted("v=DMARC1; p=reject")]
    code, text = send(judging)
    assert (code, text[:6]) == (550, "5.7.26")
    names.records[("_dmarc.example.com", "TXT")] = [quoted("v=DMARC1; p=quarantine")]
    assert send(judging, MAIL + b"held\r\n")[0] == 250
    named = b"Message-ID: <held@example.com>\r\n" + MAIL
    first = send(judging, named)
    assert (first[0], "a person will look at it" in first[1]) == (250, True)
    assert send(judging, named) == first, "a repetition is told the same: a person will look at it"
    names.broken.add("_dmarc.example.com")
    assert send(judging, MAIL + b"again\r\n")[0] == 451
    assert judging.updates() == []
    outcomes = ["refused", "quarantined", "quarantined", "repeated", "deferred"]
    assert [row["outcome"] for row in judging.ledger()] == outcomes


@pytest.mark.parametrize(("policy", "code"), [("reject", 550), ("quarantine", 250), ("none", 250)])
def test_a_message_that_kills_the_worker_is_judged_as_if_it_had_no_signature(
    state: Path, names: NameServer, key: tuple[bytes, str], policy: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever writes one that does could write as anybody: one byte a line takes DKIM's library a GB and more."""
    monkeypatch.setattr(authentication, "BUDGET", replace(authentication.BUDGET, memory=300 << 20))
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    names.records[("_dmarc.example.com", "TXT")] = [quoted(f"v=DMARC1; p={policy}")]
    signature = b"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=sel; h=from:subject; bh=AA==; b=AA=="
    with mail_door(state, Smtp(sender_authentication="verify", name_servers=(names.address,))) as door:
        furnish(door)
        answer = send(door, b"DKIM-Signature: " + signature + b"\r\n" + MAIL + b" x\r\n" * (30 << 18))
        assert answer[0] == code, answer
        assert [update.marks for update in door.updates()] == ([("unverified",)] if policy == "none" else [])
        assert (
            door.ledger()[0]["outcome"] == {"reject": "refused", "quarantine": "quarantined", "none": "filed"}[policy]
        )


def test_a_name_server_that_says_nothing_is_no_verdict(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's time is up before the DNS's: the sender tries again."""
    monkeypatch.setattr(authentication, "BUDGET", replace(authentication.BUDGET, wall_seconds=1.0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings = Smtp(sender_authentication="verify", name_servers=(f"127.0.0.1:{silent.getsockname()[1]}",))
        with mail_door(state, settings) as door:
            furnish(door)
            assert send(door)[0] == 451
            assert door.updates() == []


def test_a_stranger_whose_name_servers_are_silent_delays_nobody_else(
    state: Path, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "WORKERS", 2)
    names.records[("example.com", "TXT")] = [quoted("v=spf1 ip4:127.0.0.1 -all")]
    names.deaf = ".silent.example"
    settings = Smtp(sender_authentication="verify", name_servers=(names.address,))

    def flood(number: int) -> None:
        raw = MAIL.replace(b"eva@example.com", b"x@d%d.silent.example" % number)
        elsewhere = ("127.0.0.2", 0)
        with (
            contextlib.suppress(OSError, smtplib.SMTPException),
            smtplib.SMTP(*door.address, timeout=60, source_address=elsewhere) as client,
        ):
            client.sendmail("x@y.silent.example", ["support@example.com"], raw)

    strangers = [threading.Thread(target=flood, args=(number,), daemon=True) for number in range(2)]
    with mail_door(state, settings) as door:
        furnish(door)
        for each in strangers:
            each.start()
        until(lambda: any(name.endswith("silent.example") for name in names.asked), "a worker waits for them")
        time.sleep(0.5)
        begun = time.monotonic()
        assert send(door)[0] == 250
        assert time.monotonic() - begun < 4.0, "a name server is waited for longer than that"
        assert door.updates()[0].marks == ()
    for each in strangers:
        each.join(60)


def test_a_large_message_is_judged_too(judging: MailDoor, names: NameServer, key: tuple[bytes, str]) -> None:
    names.records[("sel._domainkey.example.com", "TXT")] = [quoted(key[1])]
    assert send(judging, signed(MAIL + b"0123456789abcdef\r\n" * 20_000, key))[0] == 250
    assert "unverified" not in judging.updates()[0].marks


def test_smtp_19_our_relay_is_believed_and_nobody_else(state: Path) -> None:
    said = b"Authentication-Results: mx.example.org; dmarc=pass header.from=example.com\r\n"
    ours = {"sender_authentication": "trusted-relay", "authserv_id": "mx.example.org"}
    with mail_door(state, Smtp(**ours, trusted_relays=(ip_network("127.0.0.0/8"),))) as door:
        furnish(door)
        assert send(door, said + MAIL)[0] == 250
        assert send(door, said.replace(b"mx.example.org", b"mx.example.net") + MAIL + b"2\r\n")[0] == 250
        assert [update.marks for update in door.updates()] == [(), ("unverified",)]
    with mail_door(state, Smtp(**ours, trusted_relays=(ip_network("192.0.2.0/24"),))) as door:
        assert send(door, said + MAIL + b"3\r\n")[0] == 250
        assert door.updates()[-1].marks == ("unverified",)
