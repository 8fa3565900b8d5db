"""Real Kafka, Cassandra and Valkey on this machine, without Docker or an installed Java."""
