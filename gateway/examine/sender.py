"""Is a sender genuine? SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489) with alignment, in a killable worker.

The task is ``gateway.examine.sender:authenticate``; it needs the extra ``mailauth``. DKIM's library takes whole
messages and DNS takes its time, so both run here and not in a door.

Rules: a pass is an SPF or DKIM pass whose domain is aligned with the one in From, as that domain's DMARC record says
(relaxed where there is none). Only what is aligned is looked at: what other domains say changes nothing, so that a
stranger's own name servers are never waited for. A DNS server that does not answer is no verdict: *unknown*, unless
something else passes. A signature over a part of the body (``l=``), or not over every Subject, by SHA-1 (RFC 8301) or
by a key that its owner only tests (RFC 6376 §3.6.1) proves nothing; only the first ``SIGNATURES_MOST`` are tried. Never
raises on what a stranger wrote or published; it asks only the name servers it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from gateway.domain.headers import split

SIGNATURES_MOST = 5
"""DKIM signatures of a message that are verified; honest mail has one to three."""
QUERY_SECONDS = 4.0
"""How long one DNS question may take, all name servers together."""

_DMARC = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")


class NoAnswer(Exception):
    """DNS did not answer; that says nothing about the domain."""


class Dns:
    """Asks *servers* (``address`` or ``address:port``; none: the system's)."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        import dns.resolver

        self._resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            hosts = [_host_and_port(server) for server in servers]
            self._resolver.nameservers = [host for host, _ in hosts]
            self._resolver.nameserver_ports = dict(hosts)
        self._resolver.lifetime = QUERY_SECONDS
        self._resolver.cache = dns.resolver.LRUCache(200)
        self.failed = False
        """Whether any question got no answer."""

    def ask(self, name: str, kind: str) -> list[Any]:
        """The records of a name; none where there are none. Raises NoAnswer."""
        import dns.exception
        import dns.name
        import dns.resolver

        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):  # no name at all
            return []
        try:
            return list(self._resolver.resolve(asked, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return []
        except (dns.exception.DNSException, OSError) as error:
            self.failed = True
            raise NoAnswer(f"{name} {kind}: {error}") from error

    def texts(self, name: str) -> list[bytes]:
        """The TXT records of a name, each in one piece. Raises NoAnswer."""
        return [b"".join(record.strings) for record in self.ask(name, "TXT")]


def authenticate(
    domain: str,
    peer: str,
    hello: str,
    sender: str,
    path: str | None = None,
    message: str | None = None,
    name_servers: Sequence[str] = (),
    signatures: bool = True,
) -> dict[str, Any]:
    """Judge whether a message with *domain* in From, sent by *sender* (the envelope's) from *peer*, is genuine.

    The message lies at *path*, or is *message*, byte for byte as Latin-1; it is read for its *signatures*, and without
    them the verdict is what it would be if none were right. The answer: ``verdict`` (a value of
    ``policy.Authentication``) and ``because``, for the log.
    """
    dns = Dns(name_servers)
    policy: Mapping[str, str] = {}
    strict_spf = strict_dkim = False
    try:
        policy = _policy(dns, domain)
        strict_spf, strict_dkim = policy.get("aspf") == "s", policy.get("adkim") == "s"
    except NoAnswer:
        pass
    said = []
    spf_domain = (sender.rpartition("@")[2] if "@" in sender else hello).lower().rstrip(".")
    spf = _spf(dns, peer, sender, hello) if _aligned(spf_domain, domain, strict=strict_spf) else "not aligned"
    said.append(f"spf={spf} ({spf_domain})")
    genuine = spf == "pass"
    if signatures and not genuine:
        for result, signer in _signatures(dns, _read(path, message), domain, strict=strict_dkim):
            said.append(f"dkim={result} ({signer})")
            genuine |= result == "pass"
    if genuine:
        verdict = "pass"
    elif dns.failed:
        verdict = "unknown"
    else:
        verdict = {"reject": "reject", "quarantine": "quarantine"}.get(_asked(policy), "unverified")
    said.append(f"dmarc={'pass' if genuine else 'fail' if policy else 'none'} (p={policy.get('p', 'none')})")
    return {"verdict": verdict, "because": "; ".join(said)[:1_000]}


def _read(path: str | None, message: str | None) -> bytes:
    if path is None:
        return (message or "").encode("latin-1")
    with open(path, "rb") as file:
        return file.read()


def _asked(policy: Mapping[str, str]) -> str:
    """What a record asks for; where its owner only tests (pct=0, RFC 7489 §6.6.4; t=y), the next milder thing."""
    asked = policy.get("p", "")
    if policy.get("pct") == "0" or policy.get("t") == "y":
        return {"reject": "quarantine"}.get(asked, "none")
    return asked


def organisation(domain: str) -> str:
    """The organisational domain (RFC 7489 §3.2), by the public suffix list."""
    return _suffixes().get_public_suffix(domain) or domain


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    import importlib.resources

    from authheaders.dmarc_lookup import PublicSuffixList

    listed = importlib.resources.files("authheaders") / "public_suffix_list.txt"
    with listed.open(encoding="utf-8") as lines:
        return PublicSuffixList(lines)


def _aligned(domain: str, author: str, *, strict: bool) -> bool:
    """Identifier alignment (RFC 7489 §3.1)."""
    if strict or domain == author:
        return domain == author
    return organisation(domain) == organisation(author)


def _policy(dns: Dns, domain: str) -> dict[str, str]:
    """A domain's DMARC record, or that of its organisation (RFC 7489 §6.6.3): its tags; p is the policy that counts."""
    record = _record(dns, domain)
    if record:
        return record
    above = organisation(domain)
    record = _record(dns, above) if above != domain else {}
    if "sp" in record:
        record["p"] = record["sp"]
    return record


def _record(dns: Dns, domain: str) -> dict[str, str]:
    """A name's DMARC record (RFC 7489 §6.3, §6.6.3): its tags; what can't be read is left out. None: no tags."""
    found = [text for text in dns.texts(f"_dmarc.{domain}") if _DMARC.match(text)]
    if len(found) != 1:  # several are none (§6.6.3)
        return {}
    tags: dict[str, str] = {}
    for tag in found[0].decode("ascii", "replace").split(";"):
        name, equals, value = tag.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip().lower())
    for name in ("p", "sp"):
        if tags.get(name) not in (None, "none", "quarantine", "reject"):
            del tags[name]
    if "p" not in tags and "rua" in tags:  # §6.6.3: who wants reports wants to be known
        tags["p"] = "none"
    return tags if "p" in tags else {}


def _spf(dns: Dns, peer: str, sender: str, hello: str) -> str:
    """SPF's result."""
    import spf

    def lookup(name: str, kind: str, tcpfallback: bool = True, timeout: float = 30) -> list[Any]:
        failed = dns.failed
        try:
            records = dns.ask(name, kind)
        except NoAnswer as error:
            if kind == "PTR":  # the peer's own zone: the mechanism does not match (RFC 7208 §5.5)
                dns.failed = failed
                return []
            raise spf.TempError(f"DNS {error}") from error
        return [((name, kind), _for_spf(kind, record)) for record in records]

    spf.DNSLookup = lookup
    try:
        result, _ = spf.check2(i=peer, s=sender, h=hello)
    except Exception as error:  # the library's own defects on hostile records
        return f"error {type(error).__name__}"
    if result == "temperror":
        dns.failed = True
    return str(result)


def _for_spf(kind: str, record: Any) -> Any:
    """A record as pyspf wants it."""
    match kind:
        case "A" | "AAAA":
            return record.address
        case "MX":
            return record.preference, record.exchange.to_text(True)
        case "PTR":
            return record.target.to_text(True)
        case _:
            return record.strings


def _signatures(dns: Dns, raw: bytes, author: str, *, strict: bool) -> Iterator[tuple[str, str]]:
    """The result of each DKIM signature that is aligned with the *author*'s domain, and the domain that signed."""
    import dkim
    from dkim.util import InvalidTagValueList, parse_tag_value

    key: dict[bytes, bytes] = {}

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        key.clear()
        found = dns.texts(name.decode("ascii", "replace").rstrip("."))
        if not found:
            return None
        with suppress(InvalidTagValueList):
            key.update(parse_tag_value(found[0]))
        return found[0]

    subjects = len(split(raw).all("subject"))
    try:
        verifier = dkim.DKIM(raw)
    except dkim.DKIMException:  # a header that the library does not take
        return
    tried = 0
    for index, value in enumerate(value for name, value in verifier.headers if name.lower() == b"dkim-signature"):
        try:
            fields = parse_tag_value(value)
        except InvalidTagValueList:
            continue
        signer = fields.get(b"d", b"").decode("ascii", "replace").lower()
        if not _aligned(signer, author, strict=strict):
            continue
        tried += 1
        if tried > SIGNATURES_MOST:
            return
        try:
            held = verifier.verify(idx=index, dnsfunc=lookup)
            outcome = "pass" if held else "fail"
        except NoAnswer:
            outcome = "temperror"
        except MemoryError:
            raise
        except Exception as error:  # malformed signatures and keys, in every way
            outcome = f"fail {type(error).__name__}"
        if outcome == "pass" and not (_signs_all(fields, subjects) and _may_sign(fields, key)):
            outcome = "nothing"
        yield outcome, signer


def _may_sign(fields: Mapping[bytes, bytes], key: Mapping[bytes, bytes]) -> bool:
    """Whether a signature that holds counts: no SHA-1 (RFC 8301 §3.1), and as its key's record says (RFC 6376 §3.6.1).

    A key's flag ``y`` says that its owner tests, ``s`` that the signer's identity is of the very domain.
    """
    flags, hashes = (key.get(name, b"").replace(b" ", b"").lower().split(b":") for name in (b"t", b"h"))
    domain = fields.get(b"d", b"").lower()
    identity = fields.get(b"i", b"@" + domain).rpartition(b"@")[2].lower()
    return (
        fields.get(b"a", b"").lower().endswith(b"-sha256")
        and b"y" not in flags
        and (b"s" not in flags or identity == domain)
        and (b"h" not in key or b"sha256" in hashes)
    )


def _signs_all(fields: Mapping[bytes, bytes], subjects: int) -> bool:
    """Whether a signature covers the whole body and every Subject: one put on top of a signed mail names another SR."""
    if b"l" in fields:
        return False
    names = [name.strip().lower() for name in fields.get(b"h", b"").split(b":")]
    return names.count(b"subject") >= subjects


def _host_and_port(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or (":" in host and not server.startswith("[")):
        return server, 53
    return host.strip("[]"), int(port)
