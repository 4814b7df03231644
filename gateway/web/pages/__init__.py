"""Everything a person looks at: render functions (render.py), what they show (views.py), templates and static files."""

from gateway.web.pages.contract import llms_txt, openapi
from gateway.web.pages.render import (
    STATIC,
    cancelled,
    docs,
    error_page,
    landing,
    problem_page,
    problems_index,
    success,
    upload_report,
)
from gateway.web.pages.views import CatalogueEntry, ProblemEntry, PurchaseStatus, SuccessView, problem_entries

__all__ = [
    "STATIC",
    "CatalogueEntry",
    "ProblemEntry",
    "PurchaseStatus",
    "SuccessView",
    "cancelled",
    "docs",
    "error_page",
    "landing",
    "llms_txt",
    "openapi",
    "problem_entries",
    "problem_page",
    "problems_index",
    "success",
    "upload_report",
]
