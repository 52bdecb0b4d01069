"""What should exist, what is stale, and the loop that makes it so. Pure: it does no IO."""
