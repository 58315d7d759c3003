"""Quantscope's server: the dashboard, behind a check of who asks and whose page shows it."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import FileResponse
from starlette.routing import Route

from pages._ui import first_paint
from pages._ui.figures import assets
from pages._ui.hosts import KnownHosts, configured
from qcore.machine.threads import spin_briefly


def icon(_) -> FileResponse:
    """Our icon in place of Streamlit's, from the first paint on."""
    return FileResponse("pages/_ui/favicon.svg", media_type="image/svg+xml")


spin_briefly()
first_paint.warm()
app = st.App(
    "dashboard.py",
    routes=[Route("/favicon.png", icon), *assets.ROUTES],
    middleware=[Middleware(KnownHosts, hosts=configured()), Middleware(first_paint.OneGround)],
)
