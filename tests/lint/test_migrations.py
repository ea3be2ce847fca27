"""Migrations that databases have run are never edited: what they are is written down beside them."""
import hashlib
import pathlib

MIGRATIONS = pathlib.Path(__file__).resolve().parents[2] / "sql" / "migrations"


def test_no_migration_is_edited():
    written = {}
    for line in (MIGRATIONS / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        digest, name = line.split()
        written[name] = digest
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MIGRATIONS.glob("*.sql")}
    assert found == written, "write a new migration, and its line: (cd sql/migrations && sha256sum *.sql >SHA256SUMS)"
