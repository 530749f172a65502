"""The types that sums are taken in: in decimals, unlike doubles, no order of the rows changes a bit of them."""

EXACT = "decimal(38,9)"
"""Of weights and labels."""
EXACT_FRACTION = "decimal(38,18)"
"""Of products along paths, which may be small."""
