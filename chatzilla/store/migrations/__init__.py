"""The schema's history; Alembic runs it at every start."""
