"""The demo: an agent does the same job with the bare client and with the wrapped one.

run (project, prompt, agent) -> book -> demo_report, plot
"""

PLAN_NAME = "Cerebras Code Pro, September 2025"  # known before anything slow is imported
