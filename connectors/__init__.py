"""Adapters to the systems around the folds: Kafka, Redis, Cassandra, the local stack."""
