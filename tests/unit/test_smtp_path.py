"""MAIL and RCPT arguments: what is a path, and what is refused."""

from __future__ import annotations

import pytest

from gateway.smtp.path import BadPath, parse


@pytest.mark.parametrize(
    "argument, address, parameters",
    [
        ("<a@example.com>", "a@example.com", {}),
        (" <a@example.com>", "a@example.com", {}),
        ("a@example.com", "a@example.com", {}),
        ("<>", "", {}),
        ("<> SIZE=5", "", {"SIZE": "5"}),
        ("<a.b+c=d@Example.COM> BODY=8BITMIME SMTPUTF8", "a.b+c=d@example.com", {"BODY": "8BITMIME", "SMTPUTF8": None}),
        ("<@relay.example.net,@b.example.org:a@example.com>", "a@example.com", {}),
        ('<"a b"@example.com>', '"a b"@example.com', {}),
        ('<"a.b"@example.com>', "a.b@example.com", {}),
        (r'<"a\.\b"@example.com>', "a.b@example.com", {}),
        ('<"a..b"@example.com>', '"a..b"@example.com', {}),
        ('<""@example.com>', '""@example.com', {}),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]", {}),
        ("<a@[IPv6:2001:db8::1]>", "a@[ipv6:2001:db8::1]", {}),
        ("<a@bücher.example>", "a@xn--bcher-kva.example", {}),
        ("<jürgen@example.com>", "jürgen@example.com", {}),
        ("<Postmaster>", "postmaster", {}),
        ("<a@example.com.>", "a@example.com", {}),
        ("<a@example.com> size=1", "a@example.com", {"SIZE": "1"}),
    ],
)
def test_a_path_and_its_parameters_are_read(argument: str, address: str, parameters: dict[str, str | None]) -> None:
    path, found = parse(argument)
    assert str(path) == address
    assert found == parameters


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "<",
        "<a>",
        "<a@>",
        "<@example.com>",
        "<a@b@example.com>",
        "<a b@example.com>",
        "<a@exa mple.com>",
        "<a@example..com>",
        "<a@-example.com>",
        "<.a@example.com>",
        "<a.@example.com>",
        "<a@example.com",
        "a@example.com>",
        "<<a@example.com>>",
        "<a@example.com>x",
        "<a(comment)@example.com>",
        "<victim@good.example)evil@bad.example>",
        f"<{'a' * 65}@example.com>",
        f"<a@{'a.' * 130}com>",
        "<a@example.com> =5",
        "<a@example.com> SIZE=",
        "<a@example.com> SIZE=1 SIZE=2",
        "<a@example.com> SIZE=1=2",
        '<"a\x00b"@example.com>',
    ],
)
def test_what_is_no_path_is_refused(argument: str) -> None:
    with pytest.raises(BadPath):
        parse(argument)


def test_a_hostile_argument_takes_no_time() -> None:
    for hostile in ("<" + "a." * 1000 + "@", '<"' + "\\" * 2000, "<@" + "a,@" * 600 + "b:", "<a@" + "-." * 900):
        with pytest.raises(BadPath):
            parse(hostile)
