"""Text in every charset of the regions, declared rightly, wrongly or not at all."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import iso2022
from gateway.domain.charsets import codec_of, decode

TEXTS = {
    "shift_jis": "お世話になっております。ログを添付します。障害番号 12345",
    "euc-jp": "お世話になっております。障害のログを送ります",
    "iso-2022-jp": "お世話になっております。障害のログを送ります。\r\nよろしく",
    "gb2312": "您好，附件是日志文件，请查收。谢谢",
    "gb18030": "您好，附件是日志文件，请查收。谢谢",
    "big5": "您好，附件是記錄檔，請查收。謝謝",
    "euc-kr": "안녕하세요, 로그 파일을 첨부합니다. 감사합니다",
    "windows-1251": "Здравствуйте, прилагаю журнал событий",
    "koi8-r": "Здравствуйте, прилагаю журнал событий",
    "windows-1252": "Grüße aus München – naïve café",
    "iso-8859-1": "Grüße aus München, naïve café",
    "iso-8859-15": "Ça coûte 5 €, cœur",
    "iso-8859-2": "Příliš žluťoučký kůň",
    "windows-1250": "Zażółć gęślą jaźń",
    "windows-1253": "Καλημέρα σας, στέλνω το αρχείο",
    "windows-1254": "İyi günler, günlük dosyası ektedir",
    "windows-1255": "שלום, מצורף קובץ היומן",
    "windows-1256": "مرحبا، مرفق ملف السجل",
    "windows-1257": "Labas, pridedu žurnalą",
    "windows-1258": "Xin chào",
    "utf-8": "Grüße, ログ, 日志, 로그, журнал",
    "utf-16": "Grüße, ログ",
    "utf-7": "Grüße",
    "iso-2022-kr": "안녕하세요",
    "hz-gb-2312": "您好",
}
GUESSED = ("shift_jis", "euc-jp", "gb2312", "big5", "euc-kr", "windows-1251", "koi8-r", "windows-1252", "utf-8")


@pytest.mark.parametrize("charset", TEXTS)
def test_declared_charsets_of_the_regions_are_read(charset: str) -> None:
    decoded = decode(TEXTS[charset].encode(charset), charset)
    assert decoded.text == TEXTS[charset]
    assert not decoded.repaired


@pytest.mark.parametrize("label", ["us-ascii", "utf-8", "iso-2022-jp", "iso-8859-1", "windows-1252", "x-unknown", ""])
@pytest.mark.parametrize("charset", GUESSED)
def test_mislabelled_text_is_repaired(charset: str, label: str) -> None:
    decoded = decode(TEXTS[charset].encode(charset), label)
    assert decoded.text == TEXTS[charset]


@pytest.mark.parametrize("charset", GUESSED)
def test_undeclared_text_is_recognised(charset: str) -> None:
    assert decode(TEXTS[charset].encode(charset)).text == TEXTS[charset]


@pytest.mark.parametrize("label", [charset for charset in TEXTS if not charset.startswith("utf-")])
def test_utf8_under_any_other_label_is_utf8(label: str) -> None:
    text = "Größe: 日志文件 ログファイル"
    assert decode(text.encode(), label).text == text


@pytest.mark.parametrize("label", [None, "us-ascii", "utf-8", "iso-8859-1", "shift_jis"])
def test_pitfall_8_iso_2022_jp_is_recognised_by_its_escapes_whatever_is_declared(label: str | None) -> None:
    assert decode(TEXTS["iso-2022-jp"].encode("iso-2022-jp"), label).text == TEXTS["iso-2022-jp"]


def test_iso_2022_jp_as_windows_writes_it() -> None:
    assert iso2022.decode(b"\x1b$B-!-jy!\x1b(B \x1b(I139\x1b(B \x1b$BF|\x1b(J-\x1b$@K\\\x1b(B") == "①㈱纊 ｱｳｹ 日-本"
    with pytest.raises(UnicodeDecodeError):
        b"\x1b$B-!\x1b(B".decode("iso-2022-jp")


def test_iso_2022_jp_ends_with_the_line() -> None:
    assert iso2022.decode(b"\x1b$BF|K\\\nabc") == "日本\nabc"
    assert iso2022.decode(b"\x1b$BF|K\\\r\nabc \x1b$BF|\x1b(B") == "日本\r\nabc 日"
    assert iso2022.decode(b"\x1b$BF") == "\ufffd"


def test_gb_2312_that_happens_to_be_utf8_is_believed() -> None:
    assert decode("一".encode("gb2312"), "gb2312").text == "一"


def test_utf8_with_a_broken_byte_stays_utf8() -> None:
    decoded = decode(("日本語のログ" * 5).encode()[:-1], "utf-8")
    assert decoded.text == "日本語のログ" * 4 + "日本語のロ\ufffd"
    assert decoded.repaired


def test_utf8_with_more_letters_than_broken_bytes_stays_utf8() -> None:
    assert decode("Basìc tëxt, é".encode() + b"\xfd.", "utf-8").text == "Basìc tëxt, é\ufffd."
    assert decode("ein Gruß für Sie".encode("latin-1"), "utf-8").text == "ein Gruß für Sie"


@pytest.mark.parametrize("label", ["utf-16", "utf-16le"])
def test_utf16_whose_last_byte_was_taken_for_a_line_end_is_read(label: str) -> None:
    decoded = decode("\ufeffGrüße, ログ\n".encode("utf-16-le")[:-1], label)
    assert decoded.text == "Grüße, ログ"
    assert decoded.repaired


def test_repairs_are_told() -> None:
    assert decode("Grüße".encode(), "iso-8859-1").repaired
    assert decode("Grüße".encode("latin-1"), "utf-8").repaired
    assert not decode("Grüße".encode("latin-1"), "iso-8859-1").repaired
    assert not decode(b"plain", "x-unknown").repaired


@pytest.mark.parametrize(
    "label, codec",
    [
        ("UTF-8", "utf-8"),
        (' "utf-8" ', "utf-8"),
        ("utf_8", "utf-8"),
        ("CP932", "cp932"),
        ("Windows-31J", "cp932"),
        ("ISO_8859-1", "windows-1252"),
        ("ks_c_5601-1987", "cp949"),
        ("ansi_x3.4-1968", "us-ascii"),
        ("utf\0-8", None),
        ("idna", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("undefined", None),
        ("zlib", None),
        ("rot13", None),
        ("../../etc/passwd", None),
        ("x" * 1_000_000, None),
        ("", None),
    ],
)
def test_labels_come_from_a_table_and_never_from_the_codec_search(label: str, codec: str | None) -> None:
    assert codec_of(label) == codec


def test_every_label_has_a_codec_that_python_knows() -> None:
    from gateway.domain.charsets import _CODECS

    for codec in set(_CODECS.values()):
        assert "a".encode(codec)


@pytest.mark.parametrize(
    "label", [None, "utf-8", "utf-7", "shift_jis", "iso-2022-jp", "gb18030", "utf-16", "windows-1252"]
)
def test_large_texts_are_read_quickly(label: str | None) -> None:
    began = time.process_time()
    for data in (
        b"\xff" * 1_000_000,
        b"\x1b$B" * 300_000,
        TEXTS["shift_jis"].encode("cp932") * 15_000,
        b"+" * 1_000_000,
    ):
        decode(data, label)
    assert time.process_time() - began < 5


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([None, *TEXTS, "x-unknown"]))
def test_nothing_raises_and_ascii_survives(data: bytes, label: str | None) -> None:
    text = decode(data, label).text
    text.encode("utf-8")
    if data.isascii() and b"\x1b" not in data and label not in ("utf-7", "hz-gb-2312", "iso-2022-kr", "utf-16"):
        assert text == data.decode()


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", None])
@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize(
    "line", ["CPU0: 85°C ok", "20 °C, 5 µs", "¿OK?", "¡Hola! El servidor no responde.", "± 2 µm, 1º A"]
)
def test_signs_among_ascii_are_no_ideographs(line: str, times: int, label: str | None) -> None:
    """In a reading of two bytes a character the letter behind the sign is lost: "80蚓" for "80°C"."""
    text = (line + "\r\n") * times
    assert decode(text.encode("latin-1"), label).text == text


@pytest.mark.parametrize("label", ["windows-1251", "koi8-r"])
@pytest.mark.parametrize("times", [1, 8])
@pytest.mark.parametrize("line", ["ОШИБКА: ДИСК ПЕРЕПОЛНЕН", "12 В, 5 А, 3 с", "CPU № 5", "с/у и т.п."])
def test_capitals_and_units_are_believed_in_the_charset_that_is_named(line: str, times: int, label: str) -> None:
    text = (line + "\r\n") * times
    if label == "koi8-r":
        text = text.replace("№", "N")
    assert decode(text.encode(label), label).text == text


@pytest.mark.parametrize("line", ["it´s won´t can´t", "10°N 20°E", "·Item one", "5 µs ± 2 µs", "§A £B ®C"])
def test_signs_are_believed_in_the_charset_that_is_named(line: str) -> None:
    text = (line + "\r\n") * 8
    assert decode(text.encode("latin-1"), "iso-8859-1").text == text


@pytest.mark.parametrize(
    ("line", "charset"),
    [
        ("2024年11月26日 10時30分", "shift_jis"),
        ("2024年11月26日 10时30分", "gb18030"),
        ("2024年11月26日 10時30分", "big5"),
        ("2024년 11월 26일 10시 30분", "euc-kr"),
    ],
)
@pytest.mark.parametrize("times", [1, 8])
def test_dates_are_read_with_and_without_a_label(line: str, charset: str, times: int) -> None:
    """Every ideograph in them stands alone among digits."""
    text = (line + "\r\n") * times
    assert decode(text.encode(charset), charset).text == text
    if times > 1 or charset != "shift_jis":
        assert decode(text.encode(charset), None).text == text
