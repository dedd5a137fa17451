"""The wording of mails and of the newsletter's paragraph: Jinja2 templates, the operator's before ours.

A mail has ``NAME.txt``, whose first line is ``Subject: …``, and ``NAME.html``. They are looked for, in this order, in
the operator's folder for the language (``templates/fr/NAME.txt``), the operator's folder, ours for the language, ours
in English. So one file can be replaced, and the rest stays ours.

Rules: a name that a template uses and we do not give is an error, not an empty space; HTML is escaped. A template gets
logins, companies and dates: no secret is ever handed to one, so none can be mailed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import jinja2

from gateway.domain.calendar import day_in_words, in_days

OURS = Path(__file__).with_name("templates")
MAILS = ("reminder", "reset")
NEWSLETTER = "newsletter"


class TemplateError(Exception):
    """A template can't be used; one line that names it."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A mail's words."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of one installation. Read when used, so that an edited one counts at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._environments: dict[str, jinja2.Environment] = {}

    def mail(self, name: str, language: str, facts: Mapping[str, Any]) -> Wording:
        """The words of a mail. Raises TemplateError."""
        text = self._render(f"{name}.txt", language, facts)
        first, _, rest = text.partition("\n")
        label, _, subject = first.partition(":")
        if label.strip().lower() != "subject" or not subject.strip():
            raise TemplateError(f"{name}.txt ({language}) must begin with a line 'Subject: …'")
        html = self._render(f"{name}.html", language, facts)
        return Wording(" ".join(subject.split()), rest.strip() + "\n", html.strip() + "\n")

    def paragraph(self, name: str, language: str, facts: Mapping[str, Any]) -> str:
        """The words of a text that is no mail. Raises TemplateError."""
        return self._render(f"{name}.txt", language, facts).strip() + "\n"

    def _render(self, file: str, language: str, facts: Mapping[str, Any]) -> str:
        try:
            return self._environment(language).get_template(file).render(**facts)
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"there is no template {error.name}") from None
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"the template {error.filename}, line {error.lineno}: {error.message}") from None
        except jinja2.TemplateError as error:
            raise TemplateError(f"the template {file} ({language}): {error.message}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"the template {file} ({language}) can't be read: {error}") from None

    def _environment(self, language: str) -> jinja2.Environment:
        if language not in self._environments:
            theirs = [] if self._folder is None else [self._folder / language, self._folder]
            environment = jinja2.Environment(
                loader=jinja2.FileSystemLoader([*theirs, OURS / language, OURS / "en"]),
                autoescape=jinja2.select_autoescape(enabled_extensions=("html",), default=False),
                undefined=jinja2.StrictUndefined,
                trim_blocks=True,
                lstrip_blocks=True,
            )
            environment.filters |= {"day": _day, "time": _time, "in_days": in_days}
            self._environments[language] = environment
        return self._environments[language]


def _day(moment: str) -> str:
    """An ISO date or time as a date in words: 5 January 2027."""
    return day_in_words(date.fromisoformat(moment[:10]))


def _time(moment: str) -> str:
    """An ISO time with its zone as 10:00."""
    return f"{datetime.fromisoformat(moment):%H:%M}"
