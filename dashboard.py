"""The dashboard's frame: page config, logo, navigation, device badges. Started by app.py."""

import streamlit as st

from pages._ui import messages, palette, tab, wording
from pages._ui.runs import organise
from qcore.machine.devices import devices

# Before the navigation: the browser would fetch the page's symbol for its tab from Google.
st.set_page_config(page_icon="pages/_ui/favicon.svg", layout="wide", initial_sidebar_state=220)
page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/new_run.py", title="New run", icon=":material/tune:"),
        st.Page("pages/jobs.py", title="Jobs", icon=":material/list_alt:"),
        st.Page("pages/outliers.py", title="Outliers", icon=":material/blur_on:"),
        st.Page("pages/scales.py", title="Scales", icon=":material/straighten:"),
        st.Page("pages/bits.py", title="Bits", icon=":material/equalizer:"),
        st.Page("pages/pareto.py", title="Pareto", icon=":material/scatter_plot:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("pages/share.py", title="Share", icon=":material/share:"),
        st.Page("pages/export.py", title="Export", icon=":material/upload:"),
        st.Page("pages/suffix.py", title="Suffixes", icon=":material/route:"),
    ]
)
tab.name(page.title)
st.html(palette.STYLE)
st.logo("pages/_ui/logo.svg", size="large")
with st.sidebar:
    for device in devices():
        icon = ":material/memory:" if device.name == "cpu" else ":material/developer_board:"
        memory = wording.memory(device.memory_bytes)
        st.badge(
            f"{device.name} · {memory}",
            icon=icon,
            color="gray",
            help=messages.escape(device.label),
        )
if page.title != "Pareto":
    organise.leave()
page.run()
