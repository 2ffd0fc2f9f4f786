"""The picture of the architecture is drawn from the tree and is up to date."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools import draw_architecture as drawing


def test_the_picture_is_up_to_date() -> None:
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.picture()


def test_each_layer_and_each_adapter_is_drawn() -> None:
    drawn = drawing.picture()
    assert [name for layer in drawing.layers() for name in layer if f">{name}<" not in drawn] == []
    assert f"technology: {', '.join(drawing.adapters())}" in drawn


def test_a_box_for_a_folder_that_is_gone_is_refused() -> None:
    box = next(box for box in drawing.RUNNING if box.path)
    with pytest.raises(FileNotFoundError):
        replace(box, path="stacks/no_such_folder").svg()
