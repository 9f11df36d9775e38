"""The proof that the tests tell the truth: claims, the ledger, mutants."""
