"""The page of `serve`: what it is doing, live in a browser, in sizes and names only.

`document` is the page itself, `snapshot` the data that it asks for every two seconds,
`recent_turns` the last turns and refusals, `login` the check of who may see it, `routes` the paths.
"""

from batchwrap.serve.live_page.login import PAGE, Login
from batchwrap.serve.live_page.recent_turns import Recents
from batchwrap.serve.live_page.routes import LivePage, with_page
from batchwrap.serve.live_page.snapshot import Snapshots

__all__ = ["PAGE", "LivePage", "Login", "Recents", "Snapshots", "with_page"]
