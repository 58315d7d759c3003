"""What can be done with the selected runs: compare, name, tag, note, pin, hide, archive, delete."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages._ui import engine, messages, state, wording
from pages._ui.runs import filters
from qcore.errors import QuantscopeError
from qcore.explore.compare import MOST_RUNS
from qcore.report.labels import LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS

_DELETED = "kept.deleted"
_REFUSED = "label.refused"


def toolbar(everything: Sequence[str]) -> None:
    """Draw the buttons over the selected runs.

    Args:
        everything: ids of all runs that the page knows, for those that are gone.
    """
    _undo_bar()
    chosen = [run for run in state.selected() if run in set(everything)]
    with st.container(horizontal=True, vertical_alignment="center"):
        compare_button(chosen)
        if not chosen:
            st.caption("Select runs to compare, name, tag, hide, archive or delete them.")
            return
        if st.button("Label", icon=":material/label:", help="Name, tags, note, pin, baseline"):
            _label_dialog(chosen)
        st.button("Hide", icon=":material/visibility_off:", on_click=_hide, args=(chosen,))
        back = all(engine.labels().of(run).archived for run in chosen)
        st.button(
            "Take out of the archive" if back else "Archive",
            icon=":material/unarchive:" if back else ":material/archive:",
            on_click=_archive,
            args=(chosen, not back),
            help="Archived runs are left out of every page unless asked for.",
        )
        if st.button("Delete", icon=":material/delete:"):
            _delete_dialog(chosen)


def compare_button(runs: Sequence[str], key: str = "compare.selected") -> None:
    """Draw the button that opens Compare with these runs, the pinned baseline first.

    One run is held against the baseline that is pinned, where there is one.
    """
    asked = list(runs)
    with messages.guard():
        asked = with_baseline(asked)
    few, many = len(asked) < 2, len(asked) > MOST_RUNS
    pressed = st.button(
        f"Compare {min(len(asked), MOST_RUNS)}" if not few else "Compare",
        icon=":material/compare_arrows:",
        type="primary",
        disabled=few,
        key=key,
        help=f"Only the first {MOST_RUNS} are compared."
        if many
        else "Select two runs or more."
        if few
        else None,
    )
    if pressed:
        open_comparison(asked)


def with_baseline(runs: Sequence[str]) -> list[str]:
    """The runs, a pinned baseline among them first; a single one beside the baseline it has."""
    if len(runs) == 1:
        table = engine.runs()
        mine = table.loc[table["id"] == runs[0]]
        if len(mine):
            alike = (table["measured"] == mine["measured"].iloc[0]) & (
                table["model"] == mine["model"].iloc[0]
            )
            runs = [*engine.labels().baselines(list(table.loc[alike, "id"]))[:1], *runs]
    first = engine.labels().baselines(runs)[:1]
    return list(dict.fromkeys([*first, *runs]))


def open_comparison(runs: Sequence[str]) -> None:
    """Go to Compare with these runs."""
    st.switch_page("pages/compare.py", query_params={"runs": ",".join(runs[:MOST_RUNS])})


def leave() -> None:
    """Delete for good what was deleted on the page that is left."""
    if gone := st.session_state.pop(_DELETED, []):
        with messages.guard():
            engine.deletion().finish(gone)


def _undo_bar() -> None:
    gone: list[str] = st.session_state.get(_DELETED, [])
    if not gone:
        return
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="undo.bar"):
        st.markdown(
            f":material/delete: {wording.count(len(gone), 'run')} deleted; gone for good when this "
            "page is left."
        )
        if st.button("Undo", icon=":material/undo:", key="undo"):
            with messages.guard():
                back = engine.deletion().restore(gone)
                st.session_state[_DELETED] = []
                state.select([*state.selected(), *back])
                st.rerun()


def _hide(runs: Sequence[str]) -> None:
    filters.hide(runs)
    state.select([])


def _archive(runs: Sequence[str], archived: bool) -> None:
    with messages.guard():
        engine.labels().change(runs, archived=archived)


@st.dialog("Label runs")
def _label_dialog(runs: Sequence[str]) -> None:
    """What is said of the runs; several share tags and pins, one has a name and a note, too."""
    with messages.guard():
        said = engine.labels().all()
        known = sorted({tag for label in said.values() for tag in label.tags})
        labels = [engine.labels().of(run) for run in runs]
        shared = set.intersection(*(set(label.tags) for label in labels))
        one = labels[0] if len(runs) == 1 else None
        if one:
            st.text_input(
                "Name",
                one.name,
                max_chars=LONGEST_NAME,
                key="label.name",
                help="Stands in the place of the title, everywhere.",
            )
        else:
            st.caption(f"{wording.count(len(runs), 'run')}; tags that all of them have.")
        st.multiselect(
            "Tags",
            sorted({*known, *shared}),
            default=sorted(shared),
            accept_new_options=True,
            max_selections=MOST_TAGS,
            key="label.tags",
            format_func=messages.escape,
            placeholder="Choose or type tags",
            help=f"At most {LONGEST_TAG} characters each.",
        )
        if one:
            st.text_area("Note", one.note, max_chars=LONGEST_NOTE, key="label.note")
        st.toggle(
            "Pin: keep on top of the table", all(label.pinned for label in labels), key="label.pin"
        )
        st.toggle(
            "Baseline: what others are held against",
            all(label.baseline for label in labels),
            key="label.baseline",
        )
        if st.button("Save", type="primary", key="label.save", on_click=_save, args=(runs,)):
            refused = st.session_state.pop(_REFUSED, "")
            if not refused:
                st.rerun()
            st.error(refused, icon=":material/error:")


def _save(runs: Sequence[str]) -> None:
    """Keep what the dialog holds; what is refused is said there."""
    asked, labels = st.session_state, engine.labels()
    try:
        before = [labels.of(run) for run in runs]
        shared = set.intersection(*(set(label.tags) for label in before))
        tags, baseline = set(asked["label.tags"]), asked["label.baseline"]
        labels.change(
            runs,
            name=asked.get("label.name"),
            note=asked.get("label.note"),
            add_tags=tags - shared,
            remove_tags=shared - tags,
            pinned=asked["label.pin"],
            # Said again it would count as newer than all others.
            baseline=baseline if baseline != all(label.baseline for label in before) else None,
        )
    except QuantscopeError as error:
        st.session_state[_REFUSED] = messages.sentence(error)


@st.dialog("Delete runs")
def _delete_dialog(runs: Sequence[str]) -> None:
    """Ask once, and say what is lost."""
    count = wording.count(len(runs), "run")
    st.markdown(
        f"**{count}** will be deleted: the measured numbers, and names, tags and notes. The cache "
        "keeps their stages, so running a recipe again costs only what was evicted since. You can "
        "undo it until you leave this page."
    )
    if st.button(
        f"Delete {count}",
        type="primary",
        icon=":material/delete:",
        key="delete.yes",
        on_click=_delete,
        args=(runs,),
    ):
        st.rerun()


def _delete(runs: Sequence[str]) -> None:
    with messages.guard():
        gone = engine.deletion().delete(runs)
        st.session_state[_DELETED] = [*st.session_state.get(_DELETED, []), *gone]
        state.select(run for run in state.selected() if run not in gone)
