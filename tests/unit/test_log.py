"""One line an event, whatever a peer puts into it, and never a secret."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:], level, logging.raiseExceptions = before
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def text() -> io.StringIO:
    stream = io.StringIO()
    log.configure("info", "text", "ftps", stream)
    return stream


def test_a_line_names_its_facts(text: io.StringIO) -> None:
    log.get("gateway.ftps").bind(session="s1").info("upload complete", account="acme", name="a b.zip", size=5, x=None)
    line = text.getvalue()
    assert line.endswith(
        ' info gateway.ftps upload complete process=ftps session=s1 account=acme name="a b.zip" size=5\n'
    )
    assert line[:4].isdigit()


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    log.configure("info", "json", None, stream)
    log.get("gateway.smtp").warning("early talker", address="192.0.2.1", count=3)
    log.get("gateway.smtp").debug("not this one")
    said = json.loads(stream.getvalue())
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "gateway.smtp",
        "event": "early talker",
        "address": "192.0.2.1",
        "count": 3,
    }


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_peer_cannot_begin_a_line_of_its_own(style: str) -> None:
    stream = io.StringIO()
    log.configure("info", style, None, stream)  # type: ignore[arg-type]
    evil = "a\r\n2026 info gateway forged\x1b[2J\u2028\u202e\x85"
    log.get("gateway").info(evil, name=evil)
    logging.getLogger("library").warning("said %s", evil)
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_secrets_by_name_by_shape_and_by_value(text: io.StringIO) -> None:
    with log.concealing("tr0ub4dor", None, "x"):
        log.get("gateway").info(
            "login tr0ub4dor", password="a1b2", api_token="c3d4", line="PASS e5f6", url="postgres://u:g7h8@db/x"
        )
        log.get("gateway").info("AUTH PLAIN aTlqMA==", hashed="$argon2id$v=19$m=1$k0l1")
        try:
            raise ValueError("no such user: tr0ub4dor")
        except ValueError:
            log.get("gateway").exception("our bug", line="PASS m2n3")
    said = text.getvalue()
    for secret in ("tr0ub4dor", "a1b2", "c3d4", "e5f6", "g7h8", "aTlqMA", "k0l1", "m2n3"):
        assert secret not in said
    assert "postgres://u:[secret]@db/x" in said


def test_an_exception_is_one_line_with_its_stack(text: io.StringIO) -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer\nsecond line")  # noqa: B904
    except ValueError:
        log.get("gateway").exception("our bug")
    (line,) = text.getvalue().splitlines()
    assert "ValueError: outer\\nsecond line" in line
    assert "test_log.py:" in line
    assert "after KeyError" in line


def test_a_peers_megabyte_is_cut(text: io.StringIO) -> None:
    log.get("gateway").info("long", name="x" * 10**6)
    assert len(text.getvalue()) < 5000
    assert "(1000000 characters)" in text.getvalue()


def test_under_the_journal_the_priority_stands_before_and_the_time_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    import os

    with open(f"{tmp_path}/journal", "w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log.configure("info", "text", None, stream)
        log.get("gateway").warning("disk nearly full")
        log.get("gateway").info("hello")
        stream.seek(0)
        assert stream.read() == "<4>warning gateway disk nearly full\n<6>info gateway hello\n"
