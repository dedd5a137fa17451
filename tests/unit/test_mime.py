"""The structured fields of a part, read as mailers write them."""

import time

import pytest

from gateway.domain.mime import content_type, read_field


@pytest.mark.parametrize(
    "raw, value, parameters",
    [
        (b"text/plain; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        (b'TEXT/Plain ; Charset = "UTF-8" ; x', "text/plain", {"charset": "UTF-8"}),
        (b'"multipart/mixed"; boundary="x"', "multipart/mixed", {"boundary": "x"}),
        (b"text/plain;;;; charset=utf-8;", "text/plain", {"charset": "utf-8"}),
        (b'attachment; filename="a;b.txt"', "attachment", {"filename": "a;b.txt"}),
        (b'attachment; filename="a\\"b\\\\c"', "attachment", {"filename": 'a"b\\c'}),
        (b'attachment; filename="C:\\dir\\a.txt"', "attachment", {"filename": "C:\\dir\\a.txt"}),
        (b"attachment; filename=my file.txt; size=3", "attachment", {"filename": "my file.txt", "size": "3"}),
        (b'attachment; filename="never closed', "attachment", {"filename": "never closed"}),
        (b"attachment; filename=a; filename=b", "attachment", {"filename": "a"}),
        (b"attachment; filename*=utf-8''%e6%97%a5.txt; filename=x.txt", "attachment", {"filename": "日.txt"}),
        (b"attachment; filename*=iso-8859-1'de'Gr%FC%DFe", "attachment", {"filename": "Grüße"}),
        (b"attachment; filename*=''x%41", "attachment", {"filename": "xA"}),
        (b'attachment; filename*0="lo"; filename*1="ng.png"', "attachment", {"filename": "long.png"}),
        (
            b"attachment; filename*0*=utf-8''a%20; filename*1=b; filename*2*=%e6%97%a5",
            "attachment",
            {"filename": "a b日"},
        ),
        (b"attachment; filename*0*=utf-8''%e6%97; filename*1*=%a5", "attachment", {"filename": "日"}),
        (b"attachment; filename*1=b; filename*2=c", "attachment", {"filename": "bc"}),
        (b"attachment; filename*0=a; filename*2=c", "attachment", {"filename": "a"}),
        (b'attachment; filename="=?utf-8?B?5pel?=.txt"', "attachment", {"filename": "日.txt"}),
        (b"attachment; filename==?utf-8?Q?a=20b?=", "attachment", {"filename": "a b"}),
        ('attachment; filename="日本.txt"'.encode(), "attachment", {"filename": "日本.txt"}),
        ('attachment; filename="日本.txt"'.encode("cp932"), "attachment", {"filename": "日本.txt"}),
        ('attachment; filename="日本.txt"'.encode("iso-2022-jp"), "attachment", {"filename": "日本.txt"}),
        ('attachment; filename="Grüße.txt"'.encode("latin-1"), "attachment", {"filename": "Grüße.txt"}),
        (b"", "", {}),
        (None, "", {}),
        (b";", "", {}),
    ],
)
def test_values_and_parameters(raw: bytes | None, value: str, parameters: dict[str, str]) -> None:
    field = read_field(raw)
    assert (field.value, field.parameters) == (value, parameters)


@pytest.mark.parametrize("raw", [None, b"", b"text", b"text/", b"/plain", b"text/plain/x", b"\xff/\xff", b"text plain"])
def test_what_is_no_type_is_plain_text(raw: bytes | None) -> None:
    assert content_type(raw).value == "text/plain"


@pytest.mark.parametrize("sign", [b";", b'a="', b";a", b';a="', b"\\", b";a*0*=x", b"=", b";a=b", b"'", b"%"])
def test_pitfall_10_hostile_parameters_take_linear_time(sign: bytes) -> None:
    began = time.process_time()
    read_field(b'text/plain; a="' + sign * (1_000_000 // len(sign)))
    read_field(b"text/plain; a=b" + sign * (1_000_000 // len(sign)))
    assert time.process_time() - began < 1
