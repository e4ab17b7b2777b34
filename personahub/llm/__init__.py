"""Calls to OpenAI-compatible endpoints: client, governor, journal and a mock server. Pure Python, no Spark."""
