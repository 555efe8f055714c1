"""What a recipe declares, and what the platform decides from it: gate, bootstrap, verdict."""
