"""What people do here: nouns with their rules, verbs as functions. No framework, no driver, no socket."""
