"""A retry is recognised by Message-ID and content, whatever relays have added on the way."""

import pytest

from gateway.domain.headers import split
from gateway.domain.identity import ContentKey, content_key, message_id

MESSAGE = b"From: a@example.com\r\nSubject: SR# 12345\r\nMessage-ID: <1@example.com>\r\n\r\nStill broken.\r\n"


def key(message: bytes) -> str:
    headers = split(message)
    return content_key(headers, [message[headers.body_at :]])


@pytest.mark.parametrize(
    "trace",
    [
        b"Received: from relay.example.net by mx.example.com; Mon, 1 Jan 2024 00:00:00 +0000\r\n",
        b"Received: by a\r\nReceived: by b\r\n\tid 7\r\n",
        b"Return-Path: <a@example.com>\r\nDelivered-To: support@example.com\r\n",
        b"X-Spam-Status: No\r\nX-Spam-Score: 0.1\r\n",
        b"ARC-Seal: i=1; a=rsa-sha256\r\nARC-Message-Signature: i=1\r\nAuthentication-Results: mx; spf=pass\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; t=2\r\n",
        b"X-MS-Exchange-Organization-SCL: -1\r\n",
    ],
)
def test_pitfall_15_trace_fields_do_not_make_another_message(trace: bytes) -> None:
    assert key(trace + MESSAGE) == key(MESSAGE)


def test_a_field_folded_anew_is_the_same_field() -> None:
    assert key(MESSAGE.replace(b"Subject: SR# 12345", b"subject:SR#\r\n 12345 ")) == key(MESSAGE)


@pytest.mark.parametrize(
    "old, new",
    [
        (b"Still broken.", b"Still broken!"),
        (b"SR# 12345", b"SR# 12346"),
        (b"a@example.com\r\n", b"b@example.com\r\n"),
        (b"<1@example.com>", b"<2@example.com>"),
        (b"broken.\r\n", b"broken.\r\n\r\n"),
        (b"Subject: ", b"X-Subject: "),
    ],
)
def test_pitfall_15_other_content_under_the_same_id_is_another_message(old: bytes, new: bytes) -> None:
    assert old in MESSAGE
    assert key(MESSAGE.replace(old, new)) != key(MESSAGE)


def test_fields_cannot_be_moved_into_the_body() -> None:
    assert key(b"A: b\r\nC: d\r\n\r\n") != key(b"A: b\r\n\r\nC: d\r\n")


def test_body_may_come_in_blocks() -> None:
    headers = split(MESSAGE)
    whole = ContentKey(headers)
    for byte in MESSAGE[headers.body_at :]:
        whole.update(bytes((byte,)))
    assert whole.hexdigest() == key(MESSAGE)


@pytest.mark.parametrize(
    "field, expected",
    [
        (b"Message-ID: <a.b@example.com>", "<a.b@example.com>"),
        (b"Message-Id:  a.b@example.com ", "<a.b@example.com>"),
        (b"Message-ID:\r\n <a.b@example.com>", "<a.b@example.com>"),
        (b"Message-ID: <a b@example.com>", None),
        (b"Message-ID: ", None),
        (b"Message-ID: <" + b"x" * 2_000 + b">", None),
        (b"Message-ID: <1@example.com>\r\nMessage-ID: <2@example.com>", None),
        (b"X: y", None),
        ("Message-ID: <ü@example.com>".encode(), "<ü@example.com>"),
        (b"Message-ID: <\xff@example.com>", "<\\xff@example.com>"),
    ],
)
def test_message_id(field: bytes, expected: str | None) -> None:
    assert message_id(split(field + b"\r\n\r\n")) == expected
