"""Authentication-Results of our own relay: whose field counts, and for whom a result speaks."""

from __future__ import annotations

import time

import pytest

from gateway.domain.authentication_results import read
from gateway.domain.policy import Authentication

PASS, UNVERIFIED = Authentication.PASS, Authentication.UNVERIFIED


@pytest.mark.parametrize(
    "fields, verdict",
    [
        ([b"mx.example.org; dmarc=pass header.from=example.com"], PASS),
        ([b"MX.Example.ORG; DMARC=Pass (p=reject) Header.From=Example.com"], PASS),
        ([b"mx.example.org 1; spf=pass smtp.mailfrom=eva@example.com"], PASS),
        ([b"mx.example.org; dkim=pass header.d=example.com header.s=a; spf=fail smtp.mailfrom=x@y.example"], PASS),
        ([b"mx.example.org; dkim=pass (2048-bit key; comment) header.d=example.com"], PASS),
        ([b"mx.example.org; dkim=fail header.d=example.com; dkim=pass header.d=example.com"], PASS),
        ([b"mx.example.org; dkim=pass header.d=example.net"], UNVERIFIED),
        ([b"mx.example.org; dkim=pass header.d=ample.com"], UNVERIFIED),
        ([b"mx.example.org; dmarc=pass header.from=example.net"], UNVERIFIED),
        ([b"mx.example.org; spf=pass smtp.helo=example.com"], UNVERIFIED),
        ([b"mx.example.org; dkim=pass"], UNVERIFIED),
        ([b"mx.example.org; none"], UNVERIFIED),
        ([b"mx.example.org"], UNVERIFIED),
        ([b"mx.example.org; (dmarc=pass header.from=example.com)"], UNVERIFIED),
        ([b"other.example.org; dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b"mx.example.org.evil.example; dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b"mx.example.org; dmarc=none", b"mx.example.org; dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b"other.example.org; spf=none", b"mx.example.org; dmarc=pass header.from=example.com"], PASS),
        ([b"mx.example.org; dmarc=fail (p=reject dis=none) header.from=example.com"], Authentication.REJECT),
        ([b"mx.example.org; dmarc=fail (p=quarantine) header.from=example.com"], Authentication.QUARANTINE),
        ([b"mx.example.org; dmarc=fail (p=none) header.from=example.com"], UNVERIFIED),
        ([b"mx.example.org; dmarc=temperror header.from=example.com"], UNVERIFIED),
        # what a sender can write into his relay's words about him
        ([b'mx.example.org; spf=pass smtp.mailfrom="eva@example.com"@evil.example'], UNVERIFIED),
        ([b'mx.example.org; spf=pass smtp.mailfrom="eva@evil.example"@example.com'], PASS),
        ([b'mx.example.org; spf=pass smtp.mailfrom="eva@example.com"'], PASS),
        ([b'mx.example.org; spf=pass smtp.mailfrom="eva\\"@example.com"'], UNVERIFIED),
        ([b'mx.example.org; spf=pass smtp.mailfrom="x; dkim=pass header.d=example.com "@evil.example'], UNVERIFIED),
        ([b"mx.example.org; spf=pass smtp.mailfrom=example.com=x@evil.example"], UNVERIFIED),
        ([b"mx.example.org; spf=pass smtp.mailfrom=SRS0=x=y=evil.example=eva@example.com"], PASS),
        (
            [b'mx.example.org; dkim=pass header.d=evil.example header.i="a header.d=example.com b"@evil.example'],
            UNVERIFIED,
        ),
        ([b'mx.example.org; dkim=pass reason="x header.d=example.com" header.d=evil.example'], UNVERIFIED),
        ([b"mx.example.org; dkim=pass header.d=evil.example header.d=example.com"], UNVERIFIED),
        (
            [b"mx.example.org; spf=fail (a (b) ; dkim=pass header.d=example.com ) smtp.mailfrom=x@evil.example"],
            UNVERIFIED,
        ),
        (
            [rb"mx.example.org; spf=fail (\) ; dkim=pass header.d=example.com ) smtp.mailfrom=x@evil.example"],
            UNVERIFIED,
        ),
        (
            [b"mx.example.org; dmarc=fail (p=none) header.from=example.com; spf=pass smtp.mailfrom=example.com"],
            UNVERIFIED,
        ),
        (
            [
                b"mx.example.org; spf=pass smtp.mailfrom=example.com;"
                b" dmarc=fail (p=reject aspf=s) header.from=example.com"
            ],
            Authentication.REJECT,
        ),
        ([b"mx.example.org; dmarc=fail action=oreject header.from=example.com;"], Authentication.REJECT),
        ([b"mx.example.org; dmarc=fail header.from=example.com policy.dmarc=reject"], Authentication.REJECT),
        ([b"mx.example.org; dmarc = fail (p=none) header.from = example.com"], UNVERIFIED),
        ([b"mx.example.org; dmarc = pass header.from = example.com"], PASS),
        ([b"mx.example.org; = ; =pass; dmarc=; ;;"], UNVERIFIED),
        (
            [b'mx.example.org; spf=fail smtp.mailfrom="x; dmarc=pass header.from=example.com ; @evil.example'],
            UNVERIFIED,
        ),
        (
            [b'mx.example.org; spf=fail smtp.mailfrom="' + b"x" * 8200 + b'"@y; dmarc=pass header.from=example.com'],
            UNVERIFIED,
        ),
        ([b"mx.example.org; spf=fail (x; dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b'mx.example.org; dmarc=pass header.from=example.com; spf=fail smtp.mailfrom="x'], UNVERIFIED),
        ([], UNVERIFIED),
        ([b""], UNVERIFIED),
        ([b"\xff;" * 50_000], UNVERIFIED),
        ([b"mx.example.org; " + b"(" * 8_000], UNVERIFIED),
    ],
)
def test_only_our_relays_first_field_counts_and_only_for_the_authors_domain(
    fields: list[bytes], verdict: Authentication
) -> None:
    below = [("received", b"from a by mx.example.org"), *(("authentication-results", each) for each in fields)]
    assert read(below, "mx.example.org", "example.com") is verdict


OURS = b"mx.example.org; "
RECEIVED = ("received", b"from a by mx.example.org; today")


@pytest.mark.parametrize(
    "results, verdict",
    [
        ([b"spf=none", b"dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b"dmarc=pass header.from=example.com", b"spf=none"], PASS),
        ([b"spf=none", b"dmarc=fail (p=reject) header.from=example.com"], Authentication.REJECT),
        ([b"dkim=pass header.d=example.com", b"dmarc=fail (p=reject) header.from=example.com"], Authentication.REJECT),
        ([b"spf=none", None, b"dmarc=pass header.from=example.com"], UNVERIFIED),
        ([None, b"spf=none", b"dmarc=pass header.from=example.com"], UNVERIFIED),
        ([b"dmarc=pass header.from=example.com", None, b"dmarc=fail (p=reject)"], PASS),
    ],
)
def test_each_check_of_our_relay_may_say_its_own_above_the_first_received(
    results: list[bytes | None], verdict: Authentication
) -> None:
    fields = [RECEIVED if each is None else ("authentication-results", OURS + each) for each in results]
    assert read([*fields, RECEIVED], "mx.example.org", "example.com") is verdict


@pytest.mark.parametrize(
    "field", [b'"' + b'\\"' * 4080, b"(" * 8000, b"mx.example.org; " + b'"' * 4001, b";" * 8000, b"a=" * 4000]
)
def test_hostile_fields_take_linear_time(field: bytes) -> None:
    before = time.thread_time()
    fields = [("authentication-results", field)] * 100
    assert read(fields, "mx.example.org", "example.com") is UNVERIFIED
    assert time.thread_time() - before < 2.0
