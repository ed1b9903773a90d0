"""The shells around the engine: gRPC, commit logs, metrics, command line, settings, clock."""
