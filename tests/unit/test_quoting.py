"""Quoted history is found for the view, and no character is ever lost by it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.quoting import fold

HISTORY = "> one\n> two\n> three\n"


def shown(text: str) -> str:
    return "".join(segment.text for segment in fold(text) if not segment.folded)


@pytest.mark.parametrize(
    "text, visible",
    [
        ("My answer.\n", "My answer.\n"),
        ("My answer.\n\nOn Mon, Ann wrote:\n" + HISTORY, "My answer.\n\n"),
        (
            "My answer.\n\nOn Mon, 1 Jan 2024 at 10:00, Ann Doe\n<ann@example.com> wrote:\n\n" + HISTORY,
            "My answer.\n\n",
        ),
        ("Antwort.\n\nAm 01.01.24 um 10:00 schrieb Ann Doe:\n" + HISTORY, "Antwort.\n\n"),
        ("Réponse.\n\nLe lun. 1 janv. 2024, Ann a écrit :\n" + HISTORY, "Réponse.\n\n"),
        ("返信です。\n\n2024年1月1日 Ann <ann@example.com>のメール:\n" + HISTORY, "返信です。\n\n"),
        ("答复。\n\n在 2024年1月1日，Ann 写道：\n" + HISTORY, "答复。\n\n"),
        (HISTORY + "My answer below.\n", "My answer below.\n"),
        (HISTORY + "\nFirst answer.\n\n" + HISTORY + "Second answer.\n", "\nFirst answer.\n\nSecond answer.\n"),
        ("Answer.\n\n-----Original Message-----\nFrom: Ann\n\nold\n", "Answer.\n\n"),
        ("Antwort.\n\n-----Ursprüngliche Nachricht-----\nVon: Ann\nalt\n", "Antwort.\n\n"),
        (
            "Answer.\n________________________________\nFrom: Ann\nSent: Monday\nTo: Bob\nSubject: x\n\nold\n",
            "Answer.\n",
        ),
        ("Antwort.\n\nVon: Ann\nGesendet: Montag\nAn: Bob\nBetreff: x\n\nalt\n", "Antwort.\n\n"),
        ("返信\n\n差出人: Ann\n送信日時: 1月\n宛先: Bob\n件名: x\n\n古い\n", "返信\n\n"),
        ("回复\n\n发件人：Ann\n发送时间：1月\n收件人：Bob\n\n旧\n", "回复\n\n"),
        ("I agree with\n> this\nand not more.\n", "I agree with\n> this\nand not more.\n"),
        ("From: the start it was slow.\nSecond line.\n", "From: the start it was slow.\nSecond line.\n"),
        ("The command wrote:\n\n    ok\n", "The command wrote:\n\n    ok\n"),
        (HISTORY, HISTORY),
        ("-----Original Message-----\nFrom: Ann\n\nold\n", "-----Original Message-----\nFrom: Ann\n\nold\n"),
        ("", ""),
    ],
)
def test_history_is_folded_and_answers_stay_visible(text: str, visible: str) -> None:
    assert shown(text) == visible
    assert "".join(segment.text for segment in fold(text)) == text


def test_neighbouring_segments_differ() -> None:
    segments = fold("Answer.\n" + HISTORY + "More.\n")
    assert [segment.folded for segment in segments] == [False, True, False]


LINE = st.sampled_from(
    [
        "> a\n",
        ">\n",
        "\n",
        "x\n",
        "On x wrote:\n",
        "From: a\n",
        "Sent: b\n",
        "----Original Message----\n",
        "\r",
        "\x0c",
        "x",
    ]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(LINE).map("".join)))
def test_pitfall_16_no_line_is_lost_by_folding(text: str) -> None:
    segments = fold(text)
    assert "".join(segment.text for segment in segments) == text
    assert not text.strip() or shown(text).strip()


@pytest.mark.parametrize(
    "line",
    [
        "> \n",
        "x wrote:\n> a\n> b\n> c\n",
        "From: a\nSent: b\n",
        "\n",
        "_" * 50 + "\n",
        "a" * 300 + " wrote:\n>1\n>2\n>3\n",
    ],
)
def test_long_texts_are_folded_quickly(line: str) -> None:
    began = time.process_time()
    fold(line * (200_000 // len(line)))
    assert time.process_time() - began < 3
