"""The page of `serve`: what it is doing, live in a browser, in sizes and names only.

`document` is the page itself, `snapshot` the data that it asks for every two seconds, `recent` the
last turns and refusals, `login` the check of who may see it, `routes` the paths.
"""

from batchwrap.serve.page.login import PAGE, Login
from batchwrap.serve.page.recent import Recents
from batchwrap.serve.page.routes import Page, with_page
from batchwrap.serve.page.snapshot import Snapshots

__all__ = ["PAGE", "Login", "Page", "Recents", "Snapshots", "with_page"]
