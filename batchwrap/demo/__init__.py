"""The demo: an agent does one job with the bare client and with the wrapped one."""
