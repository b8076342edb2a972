"""A helper process that imports once and forks the children of a build."""
