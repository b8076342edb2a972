"""Recipes: checked, hashed, readable from TOML."""

import pytest

from kit import recipe_input
from kit.errors import RecipeError, UnknownName


def test_equal_recipes_have_equal_hashes():
    one = recipe_input.make_recipe("mobilenet_v2", formats=("onnx", "lite"))
    two = recipe_input.make_recipe("mobilenet_v2", formats=["onnx", "lite", "onnx"])
    assert one == two
    assert one.hash == two.hash
    assert one.hash != recipe_input.make_recipe("mobilenet_v2", formats=("lite", "onnx")).hash
    assert (
        one.hash != recipe_input.make_recipe("mobilenet_v2", formats=("onnx", "lite"), seed=1).hash
    )


def test_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        recipe_input.make_recipe("mobilenet_v2").seed = 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 31}, "resolution = 31: .*32"),
        ({"resolution": 10001}, "resolution = 10001"),
        ({"width": -1}, "width = -1"),
        ({"sed": 1}, "a recipe has no field sed"),
        ({"formats": ()}, "at least one format"),
        ({"std": (0.2, 1e-300, 0.2)}, "std.1 = 1e-300"),
    ],
)
def test_bad_fields_name_themselves(fields, message):
    with pytest.raises(RecipeError, match=message):
        recipe_input.make_recipe("mobilenet_v2", **fields)


def test_a_too_long_file_name_is_refused():
    with pytest.raises(RecipeError, match="there is no file"):
        recipe_input.make_recipe(f"{'x' * 5000}.py:build", resolution=32)


def test_unknown_names_suggest_similar_ones():
    with pytest.raises(UnknownName) as caught:
        recipe_input.make_recipe("mobilnet_v2")
    assert "mobilenet_v2" in caught.value.hint


def test_toml(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text('model = "mobilenet_v2"\nformats = ["onnx"]\nresolution = 96\n')
    made = recipe_input.make_recipe(**recipe_input.read_recipe(file))
    assert (made.model, made.formats, made.resolution) == ("mobilenet_v2", ("onnx",), 96)


@pytest.mark.parametrize("text", ["model = ", "\x00", "[a]\n[a]"])
def test_invalid_toml_is_refused(tmp_path, text):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match="is not TOML"):
        recipe_input.read_recipe(file)


def test_slug_names_model_size_and_method():
    made = recipe_input.make_recipe("mobilenet_v2", width=0.35, resolution=96)
    assert made.slug == "mobilenet_v2-w0.35-96-static-per-channel"
    assert recipe_input.make_recipe("mobilenet_v2", quantize="none").slug == "mobilenet_v2-224-fp32"


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"precisions": (4,)}, "--precision takes"),
        ({"formats": ()}, "--format takes"),
        ({"calibration_images": 0}, "--calibration-images takes"),
    ],
)
def test_a_hint_names_the_option_as_it_is_typed(fields, option):
    with pytest.raises(RecipeError) as caught:
        recipe_input.make_recipe("mobilenet_v2", **fields)
    assert option in caught.value.hint
