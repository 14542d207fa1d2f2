"""`batchwrap eval`: compares arms at the user's endpoint, with confidence intervals.

arms x task_kinds -> eval_session (a trial for each cell) -> runs -> summary -> eval_report
"""
