"""One file per verb: read arguments, call one function, print."""
