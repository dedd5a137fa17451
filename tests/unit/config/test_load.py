"""The configuration file: found, read whole, and every mistake said at once with key, line and what is allowed."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, PortRange, find, load

GOOD = """\
[gateway]
state_dir = "state"
hostname = "gw.example.com"
drain_timeout = "1h 30m"

[ftps]
port = 2121
passive_ports = "60000-60010"
certificate = "certs/a.pem"
private_key = "/etc/a.key"
limits.sessions = 7

[smtp]
max_message_size = "64 KiB"

[[regions]]
name = "North"
alias = "Support@Example.com"
phone = "1"
web = "https://support.example.com/"
timezone = "America/Moncton"
hours = "Mon-Fri 08:00-21:00"
holidays = [2026-12-25]

[[regions]]
name = "South"
alias = "support@example.com"
phone = ["2", "3"]
web = "https://support.example.com/"
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is said about ``text``, without the file's folder."""
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(each).replace(f"{tmp_path}/", "") for each in caught.value.problems]


def test_a_file_becomes_typed_settings(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(GOOD)
    config = load(file)
    assert config.gateway.state_dir == tmp_path / "state"
    assert config.gateway.drain_timeout == timedelta(minutes=90)
    assert config.ftps.certificate == tmp_path / "certs/a.pem"
    assert config.ftps.private_key == Path("/etc/a.key")
    assert config.ftps.passive_ports == PortRange(60000, 60010)
    assert config.ftps.limits.sessions == 7
    assert config.smtp.max_message_size == 65536
    assert config.regions[0].holidays == (date(2026, 12, 25),)
    assert config.regions[0].phone == ("1",)
    assert [region.name for region in config.regions_of("SUPPORT@example.com")] == ["North", "South"]
    assert config.region("south") == config.regions[1]
    assert config.store_url == f"sqlite:///{tmp_path}/state/gateway.db"


def test_a_path_that_climbs_is_named_where_it_leads(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "examples"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "real" / "live").symlink_to(tmp_path / "archive")
    text = '[gateway]\nstate_dir = "../spool"\n[store]\nurl = "sqlite:///../rows.db"\n'
    (folder / "gateway.toml").write_text(text + '[ftps]\ncertificate = "../live/a.pem"\nprivate_key = "live/a.key"\n')
    for place in (folder, tmp_path / "link"):
        config = load(place / "gateway.toml")
        assert config.gateway.state_dir == tmp_path / "real" / "spool", "behind a link it is not one name less"
        assert config.store_url == f"sqlite:///{tmp_path}/real/rows.db"
        assert config.ftps.certificate == tmp_path / "real" / "live" / "a.pem", "other links stay as they are"
        assert config.ftps.private_key == place / "live" / "a.key"


def test_every_mistake_is_reported_at_once_with_key_and_line_and_what_is_allowed(tmp_path: Path) -> None:
    said = problems(
        tmp_path,
        """\
[gateway]
hostnam = "x"
drain_timeout = "soon"

[ftps]
port = 70000
passive_ports = "60100-60000"
data_binding = "nobody"
certificate = "a.pem"
[ftps.limits]
sessions = 0

[[regions]]
name = "A"
alias = "support"
phone = ["1"]
web = "https://x"
holidays = [2026-12-25,
  "x"]
[[regions]]
alias = "a@example.com"
phone = ["1"]
web = "https://x"

[nonsense]
a = 1
""",
    )
    expected = (
        ("gateway.toml:2: gateway.hostnam: unknown key (did you mean hostname?)", "state_dir, hostname"),
        ('gateway.toml:3: gateway.drain_timeout: "soon"', '"72h"'),
        ("gateway.toml:6: ftps.port: 70000", "1 to 65535"),
        ('gateway.toml:7: ftps.passive_ports: "60100-60000"', '"60000-60100"'),
        ("gateway.toml:8: ftps.data_binding: 'nobody'", '"session-or-address", "session", "address", "any"'),
        ("gateway.toml:9: ftps.certificate: stands alone", "private_key"),
        ("gateway.toml:11: ftps.limits.sessions: 0", "1 or more"),
        ("gateway.toml:15: regions.0.alias: 'support'", "support@example.com"),
        ("gateway.toml:18: regions.0.holidays.1: 'x'", "2026-12-25"),
        ("gateway.toml:20: regions.1.name: is missing", "a string"),
        ("gateway.toml:25: nonsense: unknown key", "gateway, ftps, smtp"),
    )
    assert len(said) == len(expected)
    for line, (start, allowed) in zip(said, expected, strict=True):
        assert line.startswith(start)
        assert allowed in line.partition("allowed:")[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ftps]\nport = 60000\n", "gateway.toml:2: ftps.port: 60000 is one of passive_ports"),
        ('[ftps]\nhost = "::1"\nport = 25\n[smtp]\nhost = "::1"\n', "gateway.toml:4: smtp.port: 25 is the FTPS door's"),
        ('[smtp]\nsender_authentication = "trusted-relay"\n', "gateway.toml:1: smtp.trusted_relays: is missing"),
        ("[sr]\nnumber_pattern = '('\n", "gateway.toml:2: sr.number_pattern: is no regular expression"),
        ("[sr]\nnumber_pattern = '[0-9]*'\n", "gateway.toml:2: sr.number_pattern: matches an empty number"),
        ("regions = []\n", "gateway.toml:1: regions: are none"),
        ("[gateway]\nx = 1\nx = 2\n", "gateway.toml:3: is not TOML: Cannot overwrite a value"),
        ("[gateway]\nstate_dir = ", "gateway.toml:2: is not TOML"),
        ("gateway = 1\n", "gateway.toml:1: gateway: 1 is not allowed; allowed: a table with state_dir"),
        ('[outbox]\nrelay_tls="none"\nrelay="r.example.com"\n', 'gateway.toml:2: outbox.relay_tls: "none" would mail'),
        ('[rotation]\nrhythm = "now and then"\n', "gateway.toml:2: rotation.rhythm: 'now and then' is not a rhythm"),
    ],
)
def test_mistakes_in_words(tmp_path: Path, text: str, said: str) -> None:
    assert problems(tmp_path, text)[0].startswith(said)


def test_two_regions_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    region = '[[regions]]\nname = "A"\nalias = "a@example.com"\nphone = "1"\nweb = "https://x"\n'
    assert problems(tmp_path, region * 2)[0].startswith('gateway.toml:7: regions.1.name: "A" is there twice')


def test_what_may_be_a_secret_is_never_repeated(tmp_path: Path) -> None:
    text = '[store]\nurl = "mysql://root:hunter2@db/x"\n[[outbox.webhooks]]\nurl="http://x.example.com/hunter2"\n'
    said = problems(tmp_path, text)
    assert len(said) == 3
    assert "hunter2" not in "".join(said)


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'[gateway]\norganisation = "caf\xe9"\n')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path / "latin.toml")


def test_the_environment_changes_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTPS", '{"port": 1}')
    monkeypatch.setenv("GATEWAY__HOSTNAME", "evil.example.com")
    (tmp_path / "gateway.toml").write_text(GOOD)
    config = load(tmp_path / "gateway.toml")
    assert (config.ftps.port, config.gateway.hostname) == (2121, "gw.example.com")


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no configuration: name one with --config or \$GATEWAY_CONFIG"):
        find(None, {})
    (tmp_path / "gateway.toml").touch()
    assert find(None, {}) == Path("gateway.toml")
    assert find(None, {"GATEWAY_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    assert find(Path("z.toml"), {"GATEWAY_CONFIG": "/x/y.toml"}) == Path("z.toml")


def test_defaults_alone_are_a_configuration() -> None:
    config = Config()
    assert config.ftps.port == 21
    assert str(config.ftps.passive_ports) == "60000-60100"
    assert config.sr.number_pattern == "[0-9]{1,12}"
    assert all(alias.endswith("@example.com") for alias in config.aliases)
