//! What every daemon shares: flags, configuration, TLS serving, health, metrics, logs, signals.
