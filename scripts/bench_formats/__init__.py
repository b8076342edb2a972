"""`scripts/bench formats`: all formats and precisions, and peers' files, in one table."""
