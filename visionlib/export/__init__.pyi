from .page import export_page as export_page
