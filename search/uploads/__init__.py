"""Files that were sent to be ingested: kept on disk from the answer on, until they are stored."""

from search.uploads.folder import Draft, UploadFolder, harmless_name, unknown_job
from search.uploads.job import Job, Kind, OutcomePage, Report, State, Status

__all__ = [
    "Draft",
    "Job",
    "Kind",
    "OutcomePage",
    "Report",
    "State",
    "Status",
    "UploadFolder",
    "harmless_name",
    "unknown_job",
]
