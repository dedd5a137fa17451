"""Is a sender genuine? SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489) with alignment, in a killable worker.

The task is ``gateway.examine.sender:authenticate``; it needs the extra ``mailauth``. DKIM's library takes whole
messages and DNS takes its time, so both run here and not in a door.

Rules: a pass is an SPF or DKIM pass whose domain is aligned with the one in From, as that domain's DMARC record says
(relaxed where there is none). A DNS server that does not answer is no verdict: *unknown*, unless something else passes.
A signature over a part of the body (``l=``), or not over every Subject, proves nothing; only the first
``SIGNATURES_MOST`` are tried. Never raises on what a stranger wrote or published; it asks only the name servers it was
given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.domain.headers import split

SIGNATURES_MOST = 5
"""DKIM signatures of a message that are verified; honest mail has one to three."""
QUERY_SECONDS = 4.0
"""How long one DNS question may take, all name servers together."""


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
            return list(self._resolver.resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return []
        except (
            dns.name.LabelTooLong,
            dns.name.EmptyLabel,
            dns.name.NameTooLong,
            dns.exception.SyntaxError,
            UnicodeError,
        ):
            return []  # no name at all
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
) -> dict[str, Any]:
    """Judge whether a message with *domain* in From, sent by *sender* (the envelope's) from *peer*, is genuine.

    The message lies at *path*, or is *message*, byte for byte as Latin-1. The answer: ``verdict`` (a value of
    ``policy.Authentication``) and ``because``, for the log.
    """
    if path is not None:
        with open(path, "rb") as file:
            raw = file.read()
    else:
        raw = (message or "").encode("latin-1")
    dns = Dns(name_servers)
    policy: Mapping[str, str] = {}
    strict_spf = strict_dkim = False
    try:
        policy = _policy(dns, domain)
        strict_spf, strict_dkim = policy.get("aspf") == "s", policy.get("adkim") == "s"
    except NoAnswer:
        pass
    said = []
    spf, spf_domain = _spf(dns, peer, sender, hello)
    said.append(f"spf={spf} ({spf_domain})")
    genuine = spf == "pass" and _aligned(spf_domain, domain, strict=strict_spf)
    if not genuine:
        for result, signer in _signatures(dns, raw):
            said.append(f"dkim={result} ({signer})")
            if result == "pass" and _aligned(signer, domain, strict=strict_dkim):
                genuine = True
                break
    if genuine:
        verdict = "pass"
    elif dns.failed:
        verdict = "unknown"
    else:
        verdict = {"reject": "reject", "quarantine": "quarantine"}.get(policy.get("p", ""), "unverified")
    said.append(f"dmarc={'pass' if genuine else 'fail' if policy else 'none'} (p={policy.get('p', 'none')})")
    return {"verdict": verdict, "because": "; ".join(said)[:1_000]}


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
    from authheaders.dmarc_lookup import DMARCException, answer_to_dict

    found = [text for text in dns.texts(f"_dmarc.{domain}") if text.startswith(b"v=DMARC1")]
    if len(found) != 1:  # several are none (§6.6.3)
        return {}
    try:
        tags: dict[str, str] = answer_to_dict(found[0].decode("ascii", "replace"))
    except DMARCException:
        return {}
    return tags if "p" in tags else {}


def _spf(dns: Dns, peer: str, sender: str, hello: str) -> tuple[str, str]:
    """SPF's result, and the domain that it speaks for."""
    import spf

    def lookup(name: str, kind: str, tcpfallback: bool = True, timeout: float = 30) -> list[Any]:
        try:
            records = dns.ask(name, kind)
        except NoAnswer as error:
            raise spf.TempError(f"DNS {error}") from error
        return [((name, kind), _for_spf(kind, record)) for record in records]

    spf.DNSLookup = lookup
    domain = (sender.rpartition("@")[2] if "@" in sender else hello).lower().rstrip(".")
    try:
        result, _ = spf.check2(i=peer, s=sender, h=hello)
    except Exception as error:  # the library's own defects on hostile records
        return f"error {type(error).__name__}", domain
    if result == "temperror":
        dns.failed = True
    return str(result), domain


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


def _signatures(dns: Dns, raw: bytes) -> list[tuple[str, str]]:
    """The result of each DKIM signature, and the domain that signed."""
    import dkim

    def lookup(name: bytes, timeout: float = 5) -> bytes | None:
        found = dns.texts(name.decode("ascii", "replace").rstrip("."))
        return found[0] if found else None

    results: list[tuple[str, str]] = []
    subjects = len(split(raw).all("subject"))
    try:
        verifier = dkim.DKIM(raw)
    except dkim.DKIMException:  # a header that the library does not take
        return results
    for index in range(SIGNATURES_MOST):
        verifier.signature_fields = {}
        try:
            held = verifier.verify(idx=index, dnsfunc=lookup)
            outcome = "pass" if held else "fail"
        except NoAnswer:
            outcome = "temperror"
        except Exception as error:  # malformed signatures and keys, in every way
            outcome = f"fail {type(error).__name__}"
        fields = verifier.signature_fields
        if not fields:
            break
        if outcome == "pass" and (b"l" in fields or not _signs_subject(fields, subjects)):
            outcome = "partial"
        results.append((outcome, fields.get(b"d", b"").decode("ascii", "replace").lower()))
    return results


def _signs_subject(fields: Mapping[bytes, bytes], subjects: int) -> bool:
    """Whether a signature covers every Subject: one put on top of a mail that was signed names another SR."""
    names = [name.strip().lower() for name in fields.get(b"h", b"").split(b":")]
    return names.count(b"subject") >= subjects


def _host_and_port(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or (":" in host and not server.startswith("[")):
        return server, 53
    return host.strip("[]"), int(port)
