"""A batch on three Ray nodes of this machine that loses an actor and a node; prints what happened as JSON.

It runs in a process of its own, because Ray starts threads and warns.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS)]

TINY = {
    "style_layers": "relu1_1+relu2_1",
    "content_layers": "relu2_2",
    "steps": 3,
    "scales": 1,
    "threads": 1,
    "size": "32",
}
COUNT = 12


def main(folder: Path) -> dict[str, Any]:
    import ray
    from ray.cluster_utils import Cluster

    import batch_painters
    import impasto
    from batch_pictures import write_picture
    from impasto.batch.events import JobDone, JobRetried, JobStarted
    from impasto.batch.local import LocalExecutor
    from impasto.batch.ray_cluster import RayExecutor

    styles = [str(write_picture(folder / f"style{number}.png", 90 + number)) for number in (0, 1)]
    options = {**TINY, "precision": "fp32"}
    jobs = []
    for number in range(COUNT):
        photo = write_picture(folder / f"photo{number}.png", number)
        crop = "#2,2,36,28" if number == 0 else ""
        jobs.append(impasto.Job(f"{photo}{crop}", (styles[number % 2],), f"{number}.png", options))
    executor: Any = LocalExecutor(1, batch_painters.tiny)
    list(impasto.iter_batch(jobs, folder / "local", executor=executor))
    executor.close()

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    found: dict[str, Any] = {"retried": [], "nodes": {}}

    def paint(name: str, executor: Any, *, disturb: bool = False) -> None:
        started = done = 0
        for event in impasto.iter_batch(jobs, folder / name, executor=executor):
            if isinstance(event, JobStarted):
                started += 1
                found["nodes"].setdefault(event.job.output, []).append(
                    next(worker.node for worker in executor._workers if worker.name == event.worker)
                )
                if disturb and started == 4:
                    ray.kill(next(one.actor for one in executor._workers if one.name == event.worker))
            elif isinstance(event, JobRetried):
                found["retried"].append(event.job.output)
            elif isinstance(event, JobDone):
                done += 1
                if disturb and done == 4:
                    cluster.remove_node(nodes[0], allow_graceful=False)
        found[name] = [event.painted, event.failed, event.stopped]
        executor.close()

    executor = RayExecutor(cluster.address, make_painter=batch_painters.tiny)
    found["size"] = executor.size
    paint("shared", executor, disturb=True)
    executor = RayExecutor(cluster.address, make_painter=batch_painters.tiny)
    received = executor._received

    def blind(worker: Any) -> Any:
        reply = received(worker)
        worker.shared = False
        return reply

    executor._received = blind  # type: ignore[method-assign]
    found["nodes"] = {}
    paint("shipped", executor)
    names = [job.output for job in jobs]
    for name in ("shared", "shipped"):
        same = [(folder / name / one).read_bytes() == (folder / "local" / one).read_bytes() for one in names]
        found[f"{name}_same"] = sum(same)

    quick = [impasto.Job(job.content, job.styles, f"{n}.png", options) for n, job in enumerate(jobs * 5)]
    executor = RayExecutor(cluster.address, make_painter=batch_painters.fake)
    began, times = 0.0, []
    for event in impasto.iter_batch(quick, folder / "quick", executor=executor):
        if isinstance(event, JobStarted):
            began = began or time.perf_counter()
        elif isinstance(event, JobDone):
            times.append(event.seconds)
    found["overhead"] = ((time.perf_counter() - began) * executor.size - sum(times)) / len(quick)
    executor.close()
    cluster.shutdown()
    return found


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    result = main(Path(sys.argv[1]))
    print(f"RESULT {json.dumps(result)}")
