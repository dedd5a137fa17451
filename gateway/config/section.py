"""What every section of the configuration is: immutable, strict about names, and able to say all its mistakes at once.

Rules: an unknown key refuses. What two settings must agree on is checked in ``mistakes``, which yields each
disagreement with the key to mend; it sees only values that are right by themselves. Never: a look at the disk or the
network.
"""

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

DISAGREEMENT = "disagreement"
"""The type of the one error that carries all a section's disagreements, as (key, what) pairs, in its context."""


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield (key, what is wrong and what is allowed) for settings that do not go together."""
        yield from ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = tuple(self.mistakes())
        if found:
            raise PydanticCustomError(DISAGREEMENT, "settings disagree", {"found": found})
        return self
