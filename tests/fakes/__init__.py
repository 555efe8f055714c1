"""Stand-ins for what the platform talks to. Each takes its faults as constructor arguments."""
