"""What lasts: SQLAlchemy Core over an embedded SQLite, written so that PostgreSQL can stand in its place."""
