"""The page of `serve`: what it is doing, live in a browser, in sizes and names only.

`document` is the page itself, `snapshot` the data that it asks for every two seconds, `merged_page`
makes one of those of several processes, `recent_turns` has the last turns and refusals, `login`
checks who may see it, `routes` has the paths.
"""

from batchwrap.serve.live_page.login import PAGE, Login
from batchwrap.serve.live_page.merged_page import PAGE_STATE
from batchwrap.serve.live_page.recent_turns import Recents
from batchwrap.serve.live_page.routes import LivePage, with_page
from batchwrap.serve.live_page.snapshot import Snapshots

__all__ = ["PAGE", "PAGE_STATE", "LivePage", "Login", "Recents", "Snapshots", "with_page"]
