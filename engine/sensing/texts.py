"""Values that are no arrays, as arrays: for a file of arrays."""

import orjson
from numpy import frombuffer, uint16
from numpy.typing import NDArray

from engine.forecasting.columns import Array
from engine.refusals import BadConfiguration


def text_as_array(value: object) -> NDArray[uint16]:
    """A value as its JSON."""
    return frombuffer(orjson.dumps(value).decode().encode("utf-16-le"), uint16)


def text_of_array(path: str, array: Array | None) -> object:
    """
    The value that `text_as_array` was given.

    Raises
    ------
    BadConfiguration
        There is no array, or it holds no JSON.
    """
    if array is None or array.dtype != uint16:
        raise BadConfiguration(path, None, "an array of text")
    try:
        value: object = orjson.loads(array.tobytes().decode("utf-16-le"))
    except ValueError as error:
        raise BadConfiguration(path, str(error), "JSON") from None
    return value
