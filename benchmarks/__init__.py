"""How fast Chatzilla is, beside its peers and beside the kernel's own limit: `python -m benchmarks`.

Numbers, never assertions. What is measured is measured in one run, interleaved, on one machine; only the ratios mean
something elsewhere. A run that lost, doubled or reordered anything is no result, and the exit status says so.
"""
