"""For sale: which model is there for whom. The library's for everybody, an upload for its account and nobody else."""

from pathlib import Path

from gateway.domain.models import Model
from gateway.flows.services import Services


async def model_for(services: Services, fmu_id: str, account_id: str | None) -> Model | None:
    """The model of that id as this account, or somebody without one, may see it."""
    model = services.library.get(fmu_id)
    if model is None and account_id is not None and services.store.fmu(account_id, fmu_id) is not None:
        model = await services.uploads.model(fmu_id, account_id)
    return model


async def uploads_of(services: Services, account_id: str) -> list[Model]:
    """In the order of their uploading."""
    found = [await services.uploads.model(row.sha256, account_id) for row in await services.store.fmus_of(account_id)]
    return [model for model in found if model is not None]


def sold_as(services: Services, sha256: str, account_id: str | None) -> str | None:
    """The fmu_id under which this account may buy that file, None if it may not: then what it paid goes back."""
    model = services.library.by_sha256(sha256)
    if model is not None:
        return model.fmu_id
    return sha256 if account_id is not None and services.store.fmu(account_id, sha256) is not None else None


def check_confined(services: Services, sha256: str = "") -> None:
    """SandboxMissing where this machine cannot confine a stranger's model. The library's models are none."""
    if services.library.by_sha256(sha256) is None:
        services.runner.check_confines()


def directory_of(services: Services, model: Model) -> Path:
    """Where it is unpacked. An upload of a file that the library has, too, runs from there: they share a zygote."""
    if services.library.by_sha256(model.sha256) is None:
        return services.uploads.directory_of(model.sha256)
    return services.library.directory_of(model)
