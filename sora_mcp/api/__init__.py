"""The ToAPIs HTTP API as Python: one client, and what each order came to."""
