"""All artifacts of bundles in one table: format, backend and precision, with what was measured."""
