"""The laboratory of the system tests: a private internet with DNS, certificates, MX hosts and clients."""
