"""The core: frames in, files out. Synchronous, silent, clockless; the standard library only.

```
 feed(batch) ─▶ decode ─▶ life ─▶ flows ─▶ stream ─▶ store ─▶ arena      read(flow) ◀─ store
               frame →    what   whose?   which     bytes,   memory
               segment    of it?          bytes?    budget
                └▶ defrag: IP fragments → whole packet ─▶ decode
```

What has several parts: `life` stands on `reopening` (what comes after the end), `refusal` (no room for a
rival), `lone` (one packet seen), `midway` (no handshake seen), `rivals` (who may be forged), `claims` (whose
it is), `timeouts` (what time does, see `deadlines`), `flows` (who is there), `sleepers` (of whom nothing
comes: as records, see `dormant` and `parcel`, and in listings, see `roster`) and `recent`; `stream` on `afar`
(long gaps), `ends` (FIN and RST), `reach` (windows, times), `pickup` (where it begins), `doubt`, `assembly`,
`exchange` (who spoke when: what `dialogue` tells readers), and has what few need from `uncommon`. All these
objects are made in large `pages`.

A module imports only what stands to its right (and `limits`, `counters`, which everyone may use).
Every module is plain Python that runs as it is; where a `.pxd` stands beside it, Cython compiles the
same source with the types given there.
"""


def compiled() -> bool:
    """Whether the compiled core is in use (else the same modules run interpreted)."""
    from . import engine  # here, so that a look at `limits` does not load the engine

    return not engine.__file__.endswith(".py")
