"""Generated passwords: strong, and typed without a doubt."""

from __future__ import annotations

import itertools

from gateway.domain import passwords


def test_a_password_has_at_least_128_bits() -> None:
    assert passwords.bits() >= passwords.MINIMUM_BITS
    assert len(set(passwords.ALPHABET)) == len(passwords.ALPHABET)


def test_a_password_has_no_character_that_is_taken_for_another() -> None:
    typed = "".join(passwords.generate() for _ in range(500))
    assert not set(typed) & set("0O1lIio")
    assert set(typed) <= set(passwords.ALPHABET) | {"-"}


def test_a_password_is_grouped_in_fours() -> None:
    groups = passwords.generate().split("-")
    assert [len(group) for group in groups] == [4] * 7


def test_every_symbol_is_chosen_by_the_generator_given() -> None:
    symbols = itertools.cycle(passwords.ALPHABET)
    assert passwords.generate(lambda _: next(symbols)) == "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456"


def test_two_passwords_differ() -> None:
    assert len({passwords.generate() for _ in range(1000)}) == 1000


def test_the_strength_is_told_in_words() -> None:
    assert "139 bits" in passwords.strength()
