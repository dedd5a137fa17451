"""The whole configuration: every section under the name it has in the file."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from gateway.config.console import Console
from gateway.config.ftps import Ftps
from gateway.config.gateway import Gateway, Spool
from gateway.config.housekeeping import Examine, Outbox, Rotation, Store
from gateway.config.regions import DEFAULT_REGIONS, Region, Sr
from gateway.config.section import DISAGREEMENT
from gateway.config.smtp import Smtp
from gateway.config.types import reading_from
from gateway.domain.calendar import Place, Places
from gateway.domain.hours import next_business_moment


class Config(BaseSettings):
    """Everything an operator can set. Comes from one file and nothing else; ``Config()`` is all defaults."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    gateway: Gateway = Field(default_factory=Gateway)
    ftps: Ftps = Field(default_factory=Ftps)
    smtp: Smtp = Field(default_factory=Smtp)
    regions: tuple[Region, ...] = DEFAULT_REGIONS
    sr: Sr = Sr()
    spool: Spool = Spool()
    store: Store = Store()
    rotation: Rotation = Rotation()
    outbox: Outbox = Outbox()
    examine: Examine = Examine()
    console: Console = Console()

    _source: Path | None = PrivateAttr(default=None)
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file, and what a test hands in; no environment: an operator finds everything in one place."""
        file = reading_from.get()
        return (init_settings,) if file is None else (init_settings, TomlConfigSettingsSource(settings_cls, file))

    @property
    def source(self) -> Path | None:
        """The file this came from."""
        return self._source

    @property
    def store_url(self) -> str:
        """The store's address, the default one spelt out."""
        return self.store.url or f"sqlite:///{self.gateway.state_dir.absolute() / 'gateway.db'}"

    @property
    def aliases(self) -> frozenset[str]:
        """The mail addresses that are recipients here, in lower case."""
        return frozenset(region.alias for region in self.regions)

    def region(self, name: str | None) -> Region | None:
        """The region of that name, compared without regard to case."""
        return next((each for each in self.regions if name and each.name.casefold() == name.casefold()), None)

    def regions_of(self, alias: str) -> tuple[Region, ...]:
        """All regions that share a mail alias."""
        return tuple(each for each in self.regions if each.alias == alias.lower())

    @property
    def places(self) -> Places:
        """Where accounts are at home, by region; where that is not known, the only region or our own zone."""
        places = {region.name.casefold(): region.place for region in self.regions}
        alone = next(iter(places.values())) if len(places) == 1 else Place(self.gateway.timezone)
        return Places(alone, places)

    def next_business_moment(self, region: str | None, at: datetime) -> datetime | None:
        """When somebody of a region (else the only one) next reads what arrives at *at*; None: nobody knows which."""
        found = self.region(region) or (self.regions[0] if len(self.regions) == 1 else None)
        if found is None:
            return None
        return next_business_moment(at, found.timezone, found.hours, found.holidays)

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield (key, what) where sections disagree."""
        if not self.regions:
            yield "regions", "are none; allowed: one [[regions]] or more"
        seen: set[str] = set()
        for number, region in enumerate(self.regions):
            if region.name.casefold() in seen:
                yield f"regions.{number}.name", f'"{region.name}" is there twice; allowed: a name of its own for each'
            seen.add(region.name.casefold())
        doors = self.ftps.enabled and self.smtp.enabled
        if doors and self.ftps.port and self.ftps.port == self.smtp.port and self.ftps.host == self.smtp.host:
            yield "smtp.port", f"{self.smtp.port} is the FTPS door's; allowed: a port of its own"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = tuple(self.mistakes())
        if found:
            raise PydanticCustomError(DISAGREEMENT, "settings disagree", {"found": found})
        return self
