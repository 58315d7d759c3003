"""What a row of the form's table says of a knob, and a section of the boxes it stands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qcore.recipe.axes import Axes, choices
from qcore.recipe.titles import formats_label, text_label

Kind = Literal["pills", "formats", "numbers", "words", "texts", "pins", "sets", "tasks"]


@dataclass(frozen=True, slots=True)
class Control:
    """One knob.

    Attributes:
        path: of the recipe.
        label: what stands above it; no two are alike, so that each can be found by its name.
        help: what it does, shown beside the label.
        kind: `pills` to click; `formats`, pills by sort; `numbers`, typed with commas between;
            `words`, typed one by one; `texts`, known ones and files; `pins`; `sets` of formats;
            `tasks`, of which any number is one choice.
        names: what values are called, in the order in which they are offered.
        options: values to offer where the type lists none.
        unusual: values that are offered only where they are chosen already.
        none: how None is typed among numbers.
        empty: what a box with nothing in it stands for; None where it must be filled.
        hint: shown in an empty box.
        where: whether other values give it something to do; it is drawn with a fault all the same.
        icons: drawn before the names of values.
    """

    path: str
    label: str
    help: str = ""
    kind: Kind = "pills"
    names: Mapping[Any, str] = field(default_factory=dict)
    options: tuple[Any, ...] = ()
    unusual: tuple[Any, ...] = ()
    none: str = ""
    empty: tuple[Any, ...] | None = None
    hint: str = ""
    where: Callable[[Axes], bool] = lambda axes: True

    @property
    def offered(self) -> tuple[Any, ...]:
        """The values to click: those with a name first, as they are named."""
        known = self.options or choices(self.path)
        return tuple(
            value for value in dict.fromkeys([*self.names, *known]) if value not in self.unusual
        )

    def name(self, value: Any) -> str:
        """What a value is called."""
        if value in self.names:
            return self.names[value]
        if self.kind == "texts":
            return text_label(value)
        return formats_label(value.split("+")) if self.kind == "sets" else str(value)


@dataclass(frozen=True, slots=True)
class Section:
    """A box of the form.

    Attributes:
        title: what it is about.
        lead: the same in a few words.
        rows: controls that stand side by side.
        folds: rows that are folded away, under their title.
        note: says what the chosen values mean, below the controls.
    """

    title: str
    lead: str
    rows: tuple[tuple[Control, ...], ...]
    folds: tuple[tuple[str, tuple[tuple[Control, ...], ...]], ...] = ()
    note: Callable[[Axes], None] | None = None
