"""Azure Storage tables: ledger, index, bookmarks, dead letters."""
