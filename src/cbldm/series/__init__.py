"""What the PDFs of a batch say together: a table, and a page that shows the trend."""

from cbldm.series.write import write_series

__all__ = ["write_series"]
