"""What shows itself only on this machine: certificates and keys that do not match, a state folder that cannot be used.

Rules: each problem names the line of its key. ``serve_problems`` is what must be empty before a port is opened;
``certificate_problems`` is also what decides whether changed files are taken into use while serving.
Reads, never writes; never repeats a key's content.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.config.file import problem
from gateway.config.model import Config
from gateway.config.problems import Problem
from gateway.config.regions import DEFAULT_REGIONS


def serve_problems(config: Config) -> list[Problem]:
    """Everything on this machine that keeps ``gateway serve`` from starting."""
    return [
        *_missing_certificate(config),
        *certificate_problems(config),
        *part_problems(config),
        *state_dir_problems(config),
    ]


def part_problems(config: Config) -> Iterator[Problem]:
    """What is switched on and lacks what it needs."""
    yield from _console_problems(config)
    yield from _sealing_problems(config)


def _console_problems(config: Config) -> Iterator[Problem]:
    if not config.console.enabled:
        return
    if config.ftps.certificate is None or config.ftps.private_key is None:
        yield problem(config, "console.enabled", "the page is served in the FTPS door's certificate; there is none")
    if not all(find_spec(name) for name in ("starlette", "uvicorn")):
        yield problem(config, "console.enabled", 'the page needs the extra web: pip install "inbound-gateway[web]"')


def _sealing_problems(config: Config) -> Iterator[Problem]:
    rotation = config.rotation
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    places = [rotation.sealing_key, Path(directory, "sealing-key") if directory else None]
    if rotation.sealed_passwords and not any(path is not None and _exists(path) for path in places):
        key = "rotation.sealed_passwords" if rotation.sealing_key is None else "rotation.sealing_key"
        yield problem(config, key, "there is no sealing key; name a file and make the key: gateway key rotate")


def certificate_problems(config: Config) -> Iterator[Problem]:
    """Certificates and keys that are named but cannot be used together."""
    pairs = (
        ("ftps.certificate", config.ftps.certificate, "ftps.private_key", config.ftps.private_key),
        ("ftps.certificate_rsa", config.ftps.certificate_rsa, "ftps.private_key_rsa", config.ftps.private_key_rsa),
        ("smtp.certificate", config.smtp.certificate, "smtp.private_key", config.smtp.private_key),
    )
    for certificate_key, certificate, private_key, key in pairs:
        if certificate and key:
            for wrong, what in pair_mistakes(certificate, key):
                yield problem(config, certificate_key if wrong == certificate else private_key, what)


def pair_mistakes(certificate: Path, key: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, what) for a certificate chain and a key, both PEM, that do not belong together or cannot be read."""
    leaf = None
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except OSError as error:
        yield certificate, f"{certificate} cannot be read: {error.strerror}"
    except ValueError:
        yield certificate, f"{certificate} is no certificate; allowed: PEM, the leaf first"
    try:
        loaded = load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        yield key, f"{key} cannot be read: {error.strerror}"
        return
    except TypeError:
        yield key, f"{key} has a passphrase; allowed: a PEM key without one, readable for the gateway only"
        return
    except (ValueError, UnsupportedAlgorithm):
        yield key, f"{key} is no private key; allowed: a PEM key without a passphrase"
        return
    if leaf is not None:
        public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if leaf.public_key().public_bytes(*public) != loaded.public_key().public_bytes(*public):
            yield certificate, f"{certificate} does not belong to the key {key}; allowed: the certificate of that key"


def state_dir_problems(config: Config) -> Iterator[Problem]:
    """A state folder that is none, or cannot be made or written by this user."""
    folder = config.gateway.state_dir
    nearest = next(place for place in (folder, *folder.absolute().parents) if _exists(place))
    if not nearest.is_dir():
        yield problem(config, "gateway.state_dir", f"{nearest} is not a folder; allowed: a folder, made when missing")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        made = "" if nearest == folder else f", so {folder} cannot be made"
        yield problem(config, "gateway.state_dir", f"{nearest} is not writable for this user{made}")


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False


def _missing_certificate(config: Config) -> Iterator[Problem]:
    if config.ftps.enabled and config.ftps.certificate is None:
        yield problem(config, "ftps.certificate", "is missing; allowed: a PEM file, with ftps.private_key beside it")


def advice(config: Config) -> Iterator[Problem]:
    """What is no mistake, but not ready for customers either."""
    yield from _missing_certificate(config)
    yield from state_dir_problems(config)
    if config.regions is DEFAULT_REGIONS:
        yield problem(config, "regions", "are not set; until they are, an example stands in: support@example.com")
