"""The demo: an agent does the same job with the bare client and with the wrapped one.

run (project, prompt, agent) -> book -> demo_report, plot
"""
