"""Faults by the thousand against a real server, real clients and real browsers; then what they show is compared.

A seed draws a plan (`plan`), a run carries it out (`run`): a server (`server`, started by `launcher`), clients
(`pages`, `tutorial`, `browsers`) each behind a proxy of its own (`proxy`), faults (`faults`). When all is quiet,
`checks` compares what everybody shows with what the store holds. A violation is shrunk (`shrink`) to a small file that
can be replayed. `mutants` are servers and clients with a fault of their own, which must be caught: they test the test.
"""
