"""Reports: results as HTML and Markdown pages."""
