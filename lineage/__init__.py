"""The memory of facts: journal, facts, catalog, and the questions asked of them."""
