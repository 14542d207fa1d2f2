"""What batching would have saved in recorded sessions.

>>> report = analyze(["no/such/file.jsonl"])
>>> report.totals.sessions, report.problems[0].file
(0, 'no/such/file.jsonl')
"""

from batchwrap.analyze.files import STDIN
from batchwrap.analyze.log_formats import NAMES as FORMATS
from batchwrap.analyze.report import Problem, Report, analyze

__all__ = ["FORMATS", "STDIN", "Problem", "Report", "analyze"]
