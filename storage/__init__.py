"""The memory of bytes: objects, formats, content digests, SQL execution, source observation."""
