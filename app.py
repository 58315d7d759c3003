"""Quantscope's server: the dashboard, behind a check of who asks and whose page shows it."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import FileResponse
from starlette.routing import Route

from pages._ui.figures import assets
from pages._ui.hosts import KnownHosts, configured


def icon(_) -> FileResponse:
    """Our icon in place of Streamlit's, from the first paint on."""
    return FileResponse("pages/_ui/favicon.svg", media_type="image/svg+xml")


app = st.App(
    "dashboard.py",
    routes=[Route("/favicon.png", icon), *assets.ROUTES],
    middleware=[Middleware(KnownHosts, hosts=configured())],
)
