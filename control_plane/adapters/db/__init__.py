"""The database: tables, mapping to the domain, migrations."""
