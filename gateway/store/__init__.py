"""SQLite: the schema, the statements, the writer thread and the verbs over them."""
