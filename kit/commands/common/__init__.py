"""What several commands share: options, progress, tables, and texts."""
