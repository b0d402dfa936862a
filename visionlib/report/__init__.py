"""One self-contained page out of a run folder: everything about a run, offline, in one file."""

from visionlib.report.report import Report as Report
from visionlib.report.report import write_report as write_report
