"""Names that were nearly right are told, where looking for them takes no longer than a refusal may."""

from gateway.domain.models import DID_YOU_MEAN_NAMES, did_you_mean


def test_a_near_name_is_told_up_to_two_thousand_names_and_not_beyond() -> None:
    names = [f"other_{i}" for i in range(DID_YOU_MEAN_NAMES - 1)]
    assert DID_YOU_MEAN_NAMES == 2000  # CONTRACT
    assert did_you_mean("velocty", [*names, "velocity"]) == "velocity"
    assert did_you_mean("velocty", [*names, "one_more", "velocity"]) is None
