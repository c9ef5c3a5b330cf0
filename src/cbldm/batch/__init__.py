"""Many PDFs: a folder of results for each, on every core or a cluster, in a form that a crash cannot spoil."""
