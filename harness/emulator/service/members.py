"""The one name for a JSON structure of the API, whose members the service model describes and checks."""

from typing import Any

Members = dict[str, Any]
"""The members of a request, an answer or a part of one, in the API's own names."""
