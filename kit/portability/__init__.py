"""`kit verify`: whether files compute the same on other processors."""
