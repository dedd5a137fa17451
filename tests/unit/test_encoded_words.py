"""Header values in every form that mailers send them become the one line of text that was meant."""

import base64
import time

import pytest

from gateway.domain.encoded_words import LONGEST, decode


def b(text: bytes, charset: str) -> bytes:
    return b"=?%b?B?%b?=" % (charset.encode(), base64.b64encode(text))


JAPANESE = "SR# 12345 障害のログを送付します"
RAW = JAPANESE.encode()
ISO = JAPANESE.encode("iso-2022-jp")


@pytest.mark.parametrize(
    "value, text",
    [
        (b"SR# 12345", "SR# 12345"),
        (b"=?utf-8?Q?SR#_12345:_Gr=C3=BC=C3=9Fe?=", "SR# 12345: Grüße"),
        (b"=?UTF-8?q?SR=23?= 12345", "SR# 12345"),
        (b"=?utf-8*de?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),  # RFC 2231 section 5
        (b"Re: =?iso-8859-1?Q?Verf=FCgbar?= SR#", "Re: Verfügbar SR#"),
        (b(RAW, "utf-8"), JAPANESE),
        (b(RAW[:11], "utf-8") + b" " + b(RAW[11:], "utf-8"), JAPANESE),  # cut in the middle of a character
        (b(RAW[:11], "utf-8") + b"\r\n " + b(RAW[11:20], "UTF-8") + b"\t" + b(RAW[20:], "utf-8"), JAPANESE),
        (b(RAW[:11], "utf-8") + b(RAW[11:], "utf-8"), JAPANESE),  # without the space that RFC 2047 wants
        (b(ISO, "ISO-2022-JP"), JAPANESE),
        (b(ISO[:25], "iso-2022-jp") + b" " + b(ISO[25:], "iso-2022-jp"), JAPANESE),
        (b(JAPANESE.encode("cp932"), "Shift_JIS"), JAPANESE),
        (b("①㈱髙".encode("cp932"), "shift_jis"), "①㈱髙"),
        (b("日志文件".encode("gbk"), "gb2312"), "日志文件"),
        (b("記錄檔".encode("cp950"), "big5"), "記錄檔"),
        (b("로그 파일".encode("cp949"), "ks_c_5601-1987"), "로그 파일"),
        (b("Журнал".encode("koi8-r"), "koi8-r"), "Журнал"),
        (b("Grüße".encode(), "iso-8859-1"), "Grüße"),  # mislabelled
        (b"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"),
        (b"=?utf-8?Q?a?= x =?utf-8?Q?b?=", "a x b"),
        (b"=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?= =?utf-8?B?w7w=?=", "aüü"),
        (b"=?utf-8?B?U1Ij?= =?utf-8?Q?_12345?=", "SR# 12345"),
        (b"=?utf-8?B?U1IjIDEyM?= =?utf-8?B?zQ1?=", "SR# 12345"),  # base64 cut in the middle of a quantum
        (b"=?utf-8?B?U1IjIDEyMzQ1IA?=", "SR# 12345 "),  # padding lost
        (b"=?utf-8?B?U1Ij IDEy\tMzQ1?=", "SR# 12345"),
        (b"=?utf-8?Q?SR# 12345 with spaces?=", "SR# 12345 with spaces"),
        (b"=?utf-8?Q?really??=", "really?"),
        (b"=?utf-8?B??= SR#", " SR#"),
        (b"=?utf-8?Q?=ZZ=4?=", "=ZZ=4"),
        (b"=?x-unknown?B?U1Ij?=", "SR#"),
        (b"=?utf\0-8?B?U1Ij?=", "=?utf\0-8?B?U1Ij?="),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"=?utf-8?B?abc", "=?utf-8?B?abc"),
        (b"a =? b ?= c", "a =? b ?= c"),
        (RAW, JAPANESE),
        (ISO, JAPANESE),  # raw ISO-2022-JP, declared nowhere
        (JAPANESE.encode("cp932"), JAPANESE),
        (JAPANESE.encode("euc-jp"), JAPANESE),
        ("Grüße aus Köln".encode("latin-1"), "Grüße aus Köln"),
        ("SR# 12345 – „Grüße“".encode("cp1252"), "SR# 12345 – „Grüße“"),
        (RAW + b" " + b(RAW, "utf-8"), f"{JAPANESE} {JAPANESE}"),
        (b"SR# 12345\ta\r\n b", "SR# 12345 a b"),
        (b"=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),  # no line of its own, whatever is encoded
        (b"", ""),
    ],
)
def test_header_values(value: bytes, text: str) -> None:
    assert decode(value) == text


@pytest.mark.parametrize("sign", [b"=?a?q?", b"=?", b"?=", b"=?a?b?YQ?= ", b"\x1b$B", b"\xff", b"=?a?q?x?= \xe4 "])
def test_hostile_values_end_quickly(sign: bytes) -> None:
    began = time.process_time()
    decode((sign * 1_000_000)[:1_000_000])
    assert time.process_time() - began < 1


@pytest.mark.parametrize("shift", range(4))
def test_a_long_value_is_not_cut_within_a_character(shift: int) -> None:
    text = "x" * shift + "ログ𝄞é" * LONGEST
    assert text.startswith(decode(text.encode()))
    assert len(decode(text.encode()).encode()) > LONGEST - 4
