"""What a look inside an uploaded file says: "zip: 14 members, intact"; "gzip: truncated, please send again".

Rules
- *Intact* means decoded to the last byte with every checksum compared; what was not checked is never called intact.
- Memory is constant (large dictionaries and 7z headers apart, which the worker's limit bounds), time and output are
  bounded, and output is thrown away.
- Whatever stands in the file, the answer is a finding. Only a file that cannot be read raises (OSError).

It never extracts, never looks at members' names, never opens an archive in an archive (the tar in a compressed stream
apart). `inspect` and `proof` are tasks for a worker; `gateway.examine.looks` asks for them. A crash leaves nothing
behind.
"""

from __future__ import annotations

from typing import Any

from gateway.domain.replies.findings import answer
from gateway.examine.archive.bounds import Bounds
from gateway.examine.archive.formats import examine
from gateway.examine.archive.proofs import Proof, proves_itself

__all__ = ["Bounds", "Proof", "inspect", "proof", "proves_itself"]


def inspect(path: str, **bounds: float) -> dict[str, Any]:
    """Look inside. `bounds` are fields of `Bounds`. JSON, as of `answer`."""
    return answer(examine(path, Bounds(**bounds)))  # type: ignore[arg-type]


def proof(path: str, size: int, **bounds: float) -> dict[str, Any]:
    """Whether the first `size` bytes, all there are, prove by themselves that nothing is missing. JSON: complete, how,
    and finding, as of `inspect`, if the whole file had to be decoded for it (else null)."""
    proof = proves_itself(path, size, Bounds(**bounds))  # type: ignore[arg-type]
    return {"complete": proof.complete, "how": proof.how, "finding": proof.finding and answer(proof.finding)}
