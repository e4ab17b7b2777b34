"""The stage `synthesize`: whom it asks, what its prompts show, what it buys beside its requests, and what that will cost."""
