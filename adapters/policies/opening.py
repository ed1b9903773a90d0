"""What follows a cell's policies, as the settings say."""

from collections.abc import Coroutine

from adapters.dispatch_loop import DispatchLoop
from adapters.kernel_cache import kernel_folder
from adapters.metrics import Metrics
from adapters.policies.following import PolicyFollower
from adapters.policies.trigger_kernels import TriggerKernels
from adapters.policy_files.watching import PolicyFiles, folder_of
from adapters.sensing.thread import SensingThread
from adapters.settings import Settings


async def follow_policies(
    settings: Settings, loop: DispatchLoop, metrics: Metrics, thread: SensingThread | None
) -> list[Coroutine[None, None, None]]:
    """
    Have what is in force known before the first call; returns what is to run from then on.

    Parameters
    ----------
    thread
        What senses the cell, not yet started; None where nothing is sensed.
    """
    hand = thread.hand if thread is not None else None
    follower = PolicyFollower(loop, metrics.policies.of(loop.cell), hand)
    await follower.follow()
    if thread is not None:
        thread.policies = follower
        thread.kernels = TriggerKernels(kernel_folder())
    work = [follower.run()]
    if settings.policy_directory:
        folder = folder_of(settings.policy_directory, loop.cell)
        work.append(PolicyFiles(folder, loop, metrics.policy_files.of(loop.cell)).run())
    return work
