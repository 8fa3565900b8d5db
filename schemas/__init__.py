"""The events, their Avro schemas and the declared topics and tables."""
