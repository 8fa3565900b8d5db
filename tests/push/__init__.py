"""Stand-ins on loopback for the services that deliver notices; they verify what those verify."""
