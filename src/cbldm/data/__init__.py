"""Data in and out: clusters and training batches, PDF files and structure files, evaluation sets."""
