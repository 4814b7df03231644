"""FMUs: which there are, what they accept, and running one of them once."""
